"""Class logits to probabilities, by how the head scores."""

from torch import Tensor

from backbonekit.contract.predictions import Scoring


def class_probabilities(logits: Tensor, scoring: Scoring) -> Tensor:
    """[..., classes (+ 1)] -> [..., classes] in [0, 1]: the column of "no object", which is last, is left out."""
    if scoring == "sigmoid":
        return logits.sigmoid()
    probabilities = logits.softmax(dim=-1)
    return probabilities[..., :-1] if scoring == "softmax_with_null" else probabilities
