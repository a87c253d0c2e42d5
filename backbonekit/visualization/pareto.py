"""A plot of models by speed and quality, with the line of those that no other one beats in both."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from backbonekit.errors import ContractError


@dataclass(frozen=True, slots=True)
class Point:
    """`speed`: more is better. `height`: the value on the vertical axis."""

    name: str
    speed: float
    height: float


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points than which no other one is at least as fast and at least as good and better in one, fastest last."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (-one.speed, -one.height)):
        if not front or point.height > front[-1].height:
            front.append(point)
    return front[::-1]


def pareto_plot(points: Sequence[Point], *, speed_label: str, height_label: str, more_is_better: bool) -> bytes:
    """A PNG. `more_is_better`: whether the vertical axis is a quality, so that there is a front to draw. Raises
    ContractError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ContractError("plot= is drawn by matplotlib. The fix: pip install 'backbonekit[train]'.") from error
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    front = pareto_front(points) if more_is_better else []
    others = [point for point in points if point not in front]
    for chosen, colour in ((others, "#8a8f98"), (front, "#1f6feb")):
        axes.scatter(
            [point.speed for point in chosen], [point.height for point in chosen], s=36, color=colour, zorder=3
        )
    if front:
        speeds, heights = [point.speed for point in front], [point.height for point in front]
        # In steps: between two models there is none that is better than the worse of them.
        axes.plot(speeds, heights, color="#1f6feb", linewidth=1.2, drawstyle="steps-pre")
    middle = (min(point.speed for point in points) + max(point.speed for point in points)) / 2
    for point in points:
        is_right = point.speed > middle  # its name then stands left of it, inside the plot
        axes.annotate(
            point.name,
            (point.speed, point.height),
            xytext=(-5 if is_right else 5, 5),
            textcoords="offset points",
            ha="right" if is_right else "left",
            fontsize=8,
        )
    axes.margins(0.12)
    axes.set_xlabel(speed_label)
    axes.set_ylabel(height_label)
    axes.grid(visible=True, color="#e3e5e8")
    axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
