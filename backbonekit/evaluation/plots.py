"""Plots of scores: which classes are taken for which, and precision by recall."""

from collections.abc import Mapping

import numpy as np

from backbonekit.contract.scores import Confusion, PrecisionCurves, Scores
from backbonekit.evaluation.figures import COLOURS, GRID, INK, PALE, legend, new_figure, png, shown, style

MOST_CLASSES = 25  # rows of a confusion matrix
_MOST_NUMBERS = 15  # rows up to which a cell has its number
_MOST_CURVES = 10


def score_plots(scores: Scores) -> dict[str, bytes]:
    """File name -> PNG, of everything in the scores that can be drawn."""
    images: dict[str, bytes] = {}
    for plot in scores.plots:
        title = "_".join(plot.title.split())
        if isinstance(plot, Confusion):
            if plot.counts.sum():
                images[f"confusion_{title}.png"] = confusion_png(plot)
        elif np.isfinite(plot.precisions).any():
            images[f"precision_recall_{title}.png"] = precision_png(plot)
    return images


def confusion_png(confusion: Confusion, *, most: int = MOST_CLASSES) -> bytes:
    """Shares of each class of the ground truth, a row each, by what they were taken for.

    Of more than `most` classes the most frequent ones; all others are one column.
    """
    counts, names = _most_frequent(confusion, most)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows, columns = shares.shape
    side = min(11.0, 2.2 + 0.42 * max(rows, 6))
    figure = new_figure(side + 1.4, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    hidden = len(confusion.names) - rows
    chosen = f", the {rows} most frequent of {len(confusion.names)} classes" if hidden else ""
    title = f"Confusion of {confusion.title}{chosen}, % of each row"
    style(axes, title=title, x="result", y="ground truth", with_grid=False)
    size = 8 if rows <= 15 else 6.5
    axes.set_xticks(range(columns), [shown(name) for name in names], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(rows), [shown(name) for name in names[:rows]])
    axes.tick_params(labelsize=size)
    axes.set_xticks(np.arange(-0.5, columns), minor=True)
    axes.set_yticks(np.arange(-0.5, rows), minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    if rows <= _MOST_NUMBERS:
        for row, column in np.argwhere(shares >= 0.005):
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(
                column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour
            )
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], fontsize=8, color=INK)
    bar.outline.set_visible(False)
    return png(figure)


def precision_png(curves: PrecisionCurves, *, most: int = _MOST_CURVES) -> bytes:
    """Precision by recall of each class, and their mean. Of more than `most` classes those with the lowest mean have a
    colour and a name."""
    known = np.flatnonzero(np.isfinite(curves.precisions).all(axis=1))
    averages = curves.precisions[known].mean(axis=1)
    named = known[np.argsort(averages, kind="stable")][:most]
    figure = new_figure(8.0, 4.8)
    axes = figure.subplots()
    for index in known:
        if index not in named:
            axes.plot(curves.recalls, curves.precisions[index], color=PALE, linewidth=0.7, alpha=0.5)
    lines, names = [], []
    for position, index in enumerate(reversed(named)):  # the best first, in the order of the curves
        colour = COLOURS[position % len(COLOURS)]
        lines += axes.plot(curves.recalls, curves.precisions[index], color=colour, linewidth=1.4)
        names.append(f"{shown(curves.names[index])}  {curves.precisions[index].mean():.3f}")
    mean = curves.precisions[known].mean(axis=0)
    lines = [*axes.plot(curves.recalls, mean, color=INK, linewidth=2.6), *lines]
    names = [f"all classes  {mean.mean():.3f}", *names]
    rest = f", the {len(named)} lowest of {len(known)} classes by name" if len(named) < len(known) else ""
    style(axes, title=f"Precision and recall of {curves.title}{rest}", x="recall", y="precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    legend(axes, lines, names)
    return png(figure)


def _most_frequent(confusion: Confusion, most: int) -> tuple[np.ndarray, list[str]]:
    """[rows, columns] and the names of the columns; columns of other classes and of no class stand last, where they
    have anything."""
    counts, names = confusion.counts, confusion.names
    frequent = np.argsort(-counts.sum(axis=1), kind="stable")[:most]
    chosen = np.sort(frequent)
    others = np.setdiff1d(np.arange(len(names)), chosen)
    columns = [counts[np.ix_(chosen, chosen)]]
    shown_names = [names[index] for index in chosen]
    extra: Mapping[str, np.ndarray] = {
        "other classes": counts[np.ix_(chosen, others)].sum(axis=1),
        "no class": counts[chosen, -1],
    }
    for name, values in extra.items():
        if values.any():
            columns.append(values[:, None])
            shown_names.append(name)
    return np.concatenate(columns, axis=1), shown_names
