"""A model's output, ours or one with transformers' names, as a prediction of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits, MaskQueries, ModelOutput, Prediction
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError

Kind = TypeVar("Kind", bound=Prediction)

# transformers' names, in the order of the prediction's fields.
_NAMES: dict[type[Prediction], tuple[str, ...]] = {
    MaskQueries: ("class_queries_logits", "masks_queries_logits"),
    DenseLogits: ("logits",),
    BoxQueries: ("logits", "pred_boxes"),
    DenseDepth: ("predicted_depth",),
}


def read_prediction(outputs: Any, kinds: Sequence[type[Kind]]) -> Kind:
    """`outputs`: what a model returned, or its prediction alone. Raises ContractError for another kind of
    prediction."""
    prediction = outputs.predictions if isinstance(outputs, ModelOutput) else outputs
    for kind in kinds:
        if isinstance(prediction, kind):
            return prediction
        if isinstance(prediction, Mapping) and all(name in prediction for name in _NAMES[kind]):
            return kind(*(prediction[name] for name in _NAMES[kind]))
    wanted = " or ".join(" and ".join(_NAMES[kind]) for kind in kinds)
    raise ContractError(f"this reading wants outputs with {wanted}; given: {type(prediction).__name__}.")


def sizes_for(target_sizes: Sequence[tuple[int, int]] | Tensor | None, maps: Tensor) -> list[tuple[int, int]]:
    """(height, width) for each image: as asked, else those of the prediction's own maps [batch, ..., height, width]."""
    if target_sizes is None:
        return [(maps.shape[-2], maps.shape[-1])] * len(maps)
    sizes = [(int(height), int(width)) for height, width in target_sizes]
    if len(sizes) != len(maps):
        raise ContractError(f"{len(sizes)} target_sizes for {len(maps)} images; give one (height, width) an image.")
    return sizes


def geometries_for(maps: Tensor, target_sizes: Sequence[tuple[int, int]] | Tensor | None) -> list[Geometry]:
    """The whole map is the whole image, as transformers assumes: nothing is known of any padding."""
    grid = (maps.shape[-2], maps.shape[-1])
    return [Geometry(size, grid, (0, 0), grid, grid) for size in sizes_for(target_sizes, maps)]
