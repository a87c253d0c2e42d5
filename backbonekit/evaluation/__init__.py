"""Results measured against targets, by the kind of prediction."""

from backbonekit.contract.scores import ClassTable, Scores, lower_is_better
from backbonekit.evaluation.evaluation import MEASURES, Evaluation
from backbonekit.evaluation.measure import ResultOptions

__all__ = ["MEASURES", "ClassTable", "Evaluation", "ResultOptions", "Scores", "lower_is_better"]
