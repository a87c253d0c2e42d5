"""Class scores to the top classes of each picture."""

from backbonekit.contract.answers import ClassScores, Scoring
from backbonekit.contract.results import ClassResult
from backbonekit.image_processing.after.scores import class_probabilities

DEFAULT_TOP_K = 5


def top_classes(
    answer: ClassScores, *, scoring: Scoring, threshold: float | None = None, top_k: int | None = None
) -> list[ClassResult]:
    """The `top_k` best classes (5) of each picture, best first; with `threshold`, only those that reach it."""
    probabilities = class_probabilities(answer.logits.float(), scoring)
    scores, labels = probabilities.topk(min(top_k or DEFAULT_TOP_K, probabilities.shape[-1]), dim=-1)
    results = []
    for picture_scores, picture_labels in zip(scores.cpu(), labels.cpu(), strict=True):
        kept = picture_scores >= (0.0 if threshold is None else threshold)
        results.append(ClassResult(picture_labels[kept], picture_scores[kept]))
    return results
