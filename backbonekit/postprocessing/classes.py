"""Class logits to probabilities, and class scores to the top classes of each image."""

from torch import Tensor

from backbonekit.contract.predictions import ClassScores, Scoring, scoring_of
from backbonekit.contract.results import ClassResult

DEFAULT_TOP_K = 5
DEFAULT_THRESHOLD = 0.5  # of classes that are scored one by one


def top_classes(
    prediction: ClassScores, *, scoring: Scoring, threshold: float | None = None, top_k: int | None = None
) -> list[ClassResult]:
    """The `top_k` best classes (5) of each image, best first; with `threshold`, only those that reach it.

    Scored by sigmoid, an image may have any number of classes: all that reach `threshold` (0.5). A model of one class
    is always scored so.
    """
    scoring = scoring_of(scoring, prediction.logits.shape[-1])
    is_any_number = scoring == "sigmoid"
    probabilities = class_probabilities(prediction.logits.float(), scoring)
    most = top_k or (probabilities.shape[-1] if is_any_number else DEFAULT_TOP_K)
    scores, labels = probabilities.topk(min(most, probabilities.shape[-1]), dim=-1)
    lowest = (DEFAULT_THRESHOLD if is_any_number else 0.0) if threshold is None else threshold
    results = []
    for image_scores, image_labels in zip(scores.cpu(), labels.cpu(), strict=True):
        kept = image_scores >= lowest
        results.append(ClassResult(image_labels[kept], image_scores[kept]))
    return results


def class_probabilities(logits: Tensor, scoring: Scoring) -> Tensor:
    """[..., classes (+ 1)] -> [..., classes] in [0, 1]: the column of "no object", which is last, is left out."""
    if scoring == "sigmoid":
        return logits.sigmoid()
    probabilities = logits.softmax(dim=-1)
    return probabilities[..., :-1] if scoring == "softmax_with_null" else probabilities
