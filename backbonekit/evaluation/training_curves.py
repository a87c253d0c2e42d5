"""The log of a training as plots: its losses and its metrics, by step."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backbonekit.contract.scores import lower_is_better
from backbonekit.errors import StorageError
from backbonekit.evaluation.figures import COLOURS, INK, PALE, legend, new_figure, png, style

Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> steps and values
_MOST = 10  # curves of a plot
_SMOOTHED = 30  # about as many points as a smoothed curve has independent ones
_TRAIN, _VAL = "train_", "val_"
_VALIDATION = COLOURS[2]


def training_plots(log: Path) -> dict[str, bytes]:
    """`loss.png` and `metrics.png` from `metrics.csv`, where it has any. Raises StorageError for another file."""
    curves = read_log(log)
    plots = {}
    losses = {name: curve for name, curve in curves.items() if _is_loss(name)}
    if losses:
        plots["loss.png"] = loss_png(losses)
    metrics = {
        name.removeprefix(_VAL): curve for name, curve in curves.items() if name.startswith(_VAL) and not _is_loss(name)
    }
    if metrics:
        plots["metrics.png"] = metrics_png(metrics)
    return plots


def read_log(path: Path) -> Curves:
    """The columns of a log in CSV, whose rows have a `step` and some of the other columns each."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StorageError(f"{path} cannot be read as a log of a training: {error}.") from error
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        step = _number(row.get("step"))
        for name, text in row.items():
            value = _number(text)
            if name not in ("step", "epoch", None) and step is not None and value is not None:
                points.setdefault(name, []).append((step, value))
    return {name: (np.array(one)[:, 0], np.array(one)[:, 1]) for name, one in points.items()}


def loss_png(losses: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """The loss of the training, pale as it is and smoothed, of the validation, and thin the terms of the training's."""
    figure = new_figure(8.0, 4.5)
    axes = figure.subplots()
    lines, names = [], []
    others = [colour for colour in COLOURS if colour != _VALIDATION]
    order = sorted(losses, key=lambda name: (name != "train_loss", name != "val_loss", name))
    terms = [name for name in order if name.startswith(f"{_TRAIN}loss_")][:_MOST]
    for name in order:
        steps, values = losses[name]
        if name == "train_loss":
            axes.plot(steps, values, color=PALE, linewidth=0.7, alpha=0.6)
            lines += axes.plot(steps, smoothed(values), color=INK, linewidth=2.2)
            names.append("training")
        elif name == "val_loss":
            lines += axes.plot(steps, values, color=_VALIDATION, linewidth=2.0, marker="o", markersize=3.5)
            names.append("validation")
        elif name in terms:
            colour = others[terms.index(name) % len(others)]
            lines += axes.plot(steps, smoothed(values), color=colour, linewidth=1.0)
            names.append(name.removeprefix(f"{_TRAIN}loss_"))
    style(axes, title="Loss", x="step", y="loss")
    every = np.concatenate(
        [values for name, (_, values) in losses.items() if name in ("train_loss", "val_loss", *terms)]
    )
    positive = every[every > 0]
    if len(positive) == len(every) and len(every) and positive.max() > 20 * positive.min():
        axes.set_yscale("log")
    legend(axes, lines, names)
    return png(figure)


def metrics_png(metrics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Metrics of the validation; those of which smaller values are better in an axis of their own, below."""
    higher = [name for name in metrics if not lower_is_better(name)]
    groups = [names[:_MOST] for names in (higher, [name for name in metrics if lower_is_better(name)]) if names]
    figure = new_figure(8.0, 0.6 + 3.6 * len(groups))
    for axes, names in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups, strict=True):
        lines = []
        for position, name in enumerate(names):
            steps, values = metrics[name]
            width = 2.4 if position == 0 else 1.2
            colour = INK if position == 0 else COLOURS[(position - 1) % len(COLOURS)]
            lines += axes.plot(steps, values, color=colour, linewidth=width, marker="o", markersize=3)
        lower = lower_is_better(names[0])
        style(axes, title="Validation" + (", lower is better" if lower else ""), x="step", y="")
        if not lower and all(metrics[name][1].min() >= 0 and metrics[name][1].max() <= 1 for name in names):
            axes.set_ylim(0, 1.02)
        legend(axes, lines, [f"{name}  {metrics[name][1][-1]:.3f}" for name in names])
    return png(figure)


def smoothed(values: np.ndarray) -> np.ndarray:
    """The mean of the values around each, fewer at the ends."""
    radius = len(values) // (2 * _SMOOTHED)
    if not radius:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    positions = np.arange(len(values))
    low, high = np.maximum(positions - radius, 0), np.minimum(positions + radius + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _is_loss(name: str) -> bool:
    return name.removeprefix(_TRAIN).removeprefix(_VAL).startswith("loss")


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
