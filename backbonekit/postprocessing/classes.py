"""Class logits to probabilities, and class scores to the top classes of each image."""

from torch import Tensor

from backbonekit.contract.predictions import ClassScores, Scoring
from backbonekit.contract.results import ClassResult

DEFAULT_TOP_K = 5


def top_classes(
    prediction: ClassScores, *, scoring: Scoring, threshold: float | None = None, top_k: int | None = None
) -> list[ClassResult]:
    """The `top_k` best classes (5) of each image, best first; with `threshold`, only those that reach it."""
    probabilities = class_probabilities(prediction.logits.float(), scoring)
    scores, labels = probabilities.topk(min(top_k or DEFAULT_TOP_K, probabilities.shape[-1]), dim=-1)
    results = []
    for image_scores, image_labels in zip(scores.cpu(), labels.cpu(), strict=True):
        kept = image_scores >= (0.0 if threshold is None else threshold)
        results.append(ClassResult(image_labels[kept], image_scores[kept]))
    return results


def class_probabilities(logits: Tensor, scoring: Scoring) -> Tensor:
    """[..., classes (+ 1)] -> [..., classes] in [0, 1]: the column of "no object", which is last, is left out."""
    if scoring == "sigmoid":
        return logits.sigmoid()
    probabilities = logits.softmax(dim=-1)
    return probabilities[..., :-1] if scoring == "softmax_with_null" else probabilities
