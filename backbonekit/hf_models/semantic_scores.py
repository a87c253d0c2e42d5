"""The class of every pixel with the scores of all classes, as transformers' processors return them together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output
from backbonekit.contract.predictions import DenseLogits, MaskQueries
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.resize import resize_bilinear
from backbonekit.postprocessing.semantic import class_scores


@register_output
@dataclass(eq=False)
class SemanticScores(FieldMapping):
    """`segmentation`: int64 [height, width], the class of every pixel. `segmentation_scores`: float [classes, height,
    width], the logits of a dense model, of a mask model the probability of a class times that of its masks."""

    segmentation: Tensor
    segmentation_scores: Tensor


def with_scores(
    prediction: DenseLogits | MaskQueries, segmentations: Iterable[Tensor], sizes: Sequence[tuple[int, int]]
) -> list[SemanticScores]:
    """For each image its classes, and the scores resampled to `sizes`."""
    is_dense = isinstance(prediction, DenseLogits)
    maps = upcast_to_float32(prediction.logits) if is_dense else class_scores(prediction)
    return [
        SemanticScores(segmentation, resize_bilinear(one[None], size)[0])
        for segmentation, one, size in zip(segmentations, maps, sizes, strict=True)
    ]
