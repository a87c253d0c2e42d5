"""Figures without global state: matplotlib's objects, drawn by Agg, as PNG bytes."""

import io
import warnings
from typing import Any

from backbonekit.evaluation.extra import required

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
INK, PALE, GRID = "#1f2328", "#9aa0a6", "#e4e6e9"
_LONGEST = 22  # characters of a name in a plot
_DPI = 144


def new_figure(width: float, height: float) -> Any:
    """An empty figure, sizes in inches at 144 pixels each."""
    return required("matplotlib.figure", "matplotlib").Figure(
        figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white"
    )


def style(axes: Any, *, title: str, x: str, y: str, with_grid: bool = True) -> None:
    """The look that all plots share: a title on the left, few lines."""
    axes.set_title(shown(title, longest=90), loc="left", fontsize=11, color=INK, pad=8)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE)
    if with_grid:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)


def legend(axes: Any, lines: list[Any], names: list[str]) -> None:
    """Beside the curves, where it hides none."""
    axes.legend(
        lines,
        [shown(name, longest=34) for name in names],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )


def shown(name: str, longest: int = _LONGEST) -> str:
    """A name as text: no formula of matplotlib's, nothing that a terminal or a font cannot show, not too long."""
    plain = "".join(character if character.isprintable() else " " for character in name).strip()
    plain = plain if len(plain) <= longest else f"{plain[: longest - 3]}..."
    # a leading underscore hides an entry of a legend
    return (f" {plain}" if plain.startswith("_") else plain).replace("$", r"\$")


def png(figure: Any) -> bytes:
    """The figure as a PNG file."""
    canvas = required("matplotlib.backends.backend_agg", "matplotlib").FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # of a script that the font does not have
        canvas.print_png(stream)
    return stream.getvalue()
