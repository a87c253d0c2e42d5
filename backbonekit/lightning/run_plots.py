"""The plots of a run, in its folder: losses and metrics by step, and what can be drawn of the best scores."""

from pathlib import Path

from backbonekit.contract.scores import Scores
from backbonekit.evaluation.plots import score_plots
from backbonekit.evaluation.training_curves import training_plots
from backbonekit.postprocessing.writing import write_file


def write_plots(folder: Path, log: Path, scores: Scores | None) -> None:
    """`loss.png`, `metrics.png`, and of the scores a confusion matrix or curves of precision and recall."""
    plots = training_plots(log) if log.is_file() else {}
    plots |= {} if scores is None else score_plots(scores)
    for name, content in plots.items():
        write_file(folder / name, content)
