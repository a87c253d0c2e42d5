"""A model's output, ours or one with transformers' names, as a prediction of the contract; and boxes as results."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, DenseLogits, ModelOutput, Prediction, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.boxes import best_boxes, corners
from backbonekit.postprocessing.results import PREDICTION_KINDS

Kind = TypeVar("Kind", bound=Prediction)
_DIMENSIONS_OF_MAPS = 4  # batch, classes, height, width


def read_prediction(outputs: Any, kinds: Sequence[type[Kind]]) -> Kind:
    """`outputs`: what a model returned, or its prediction alone, or any mapping or object with transformers' names.
    Raises ContractError for another kind of prediction."""
    prediction = outputs.predictions if isinstance(outputs, ModelOutput) else outputs
    for kind in kinds:
        if isinstance(prediction, kind):
            return prediction
        names = PREDICTION_KINDS[kind].output_names
        values = [_value(prediction, name) for name in names]
        if values and all(isinstance(value, Tensor) for value in values) and _has_shape_of(kind, values[0]):
            return kind(*values)
    required = " or ".join(" and ".join(PREDICTION_KINDS[kind].output_names) for kind in kinds)
    named = {name: _value(prediction, name) for kind in kinds for name in PREDICTION_KINDS[kind].output_names}
    found = [f"{name} {list(one.shape)}" for name, one in named.items() if isinstance(one, Tensor)]
    given = " with ".join([type(prediction).__name__, *([" and ".join(found)] if found else [])])
    raise ContractError(f"outputs with {required} are required; given: {given}.")


def _value(outputs: Any, name: str) -> Any:
    """By name from a mapping, else an attribute; None where there is none."""
    if isinstance(outputs, Mapping):
        return outputs.get(name)
    return getattr(outputs, name, None)  # of anybody's class


def _has_shape_of(kind: type[Prediction], first: Tensor) -> bool:
    # `logits` are [batch, classes, height, width] of a dense model, and [batch, queries, classes] of a set of boxes.
    return first.ndim == 4 if kind is DenseLogits else first.ndim != 4 if kind is BoxQueries else True


def sizes_for(target_sizes: Sequence[tuple[int, int]] | Tensor | None, maps: Tensor) -> list[tuple[int, int]]:
    """(height, width) for each image: as given, else those of the prediction's own maps [batch, ..., height, width]."""
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


# How the models that each image processor belongs to score their boxes, and how many of them it looks at (None: as many
# as there are queries). By `image_processor_type` without its ending.
BOX_SCORING: dict[str, tuple[Scoring, int | None]] = {
    "ConditionalDetr": ("sigmoid", 100),
    "DeformableDetr": ("sigmoid", 100),
    "Detr": ("softmax_with_null", None),
    "RTDetr": ("sigmoid", None),
}


def found_boxes(
    prediction: BoxQueries,
    *,
    scoring: Scoring,
    top_k: int | None,
    threshold: float,
    sizes: Sequence[tuple[int, int]] | None,
) -> list[dict[str, Tensor]]:
    """For each image `scores` float [N], `labels` int64 [N] and `boxes` float [N, 4].

    Boxes are x0 y0 x1 y1 in pixels of `sizes`, (height, width) of each image, or in [0, 1] without; not cut to the
    image. The order is that of transformers: by score where pairs of query and class are chosen (sigmoid), by query
    where each query has its one class.
    """
    if top_k is not None and top_k < 1:
        raise ContractError(f"top_k={top_k}: at least 1 box is looked at.")
    if sizes is not None and len(sizes) != len(prediction.class_logits):
        raise ContractError(
            f"{len(sizes)} target_sizes for {len(prediction.class_logits)} images; give one (height, width) an image."
        )
    scores, labels, queries = best_boxes(prediction, scoring=scoring, top_k=top_k)
    boxes = corners(upcast_to_float32(prediction.boxes_cxcywh))
    results = []
    for index in range(len(scores)):
        kept = scores[index] > threshold
        chosen = queries[index][kept]
        order = chosen.argsort() if scoring != "sigmoid" else slice(None)
        image_boxes = boxes[index][chosen][order]
        if sizes is not None:
            height, width = sizes[index]
            image_boxes = image_boxes * image_boxes.new_tensor([width, height, width, height])
        results.append(
            {"scores": scores[index][kept][order], "labels": labels[index][kept][order], "boxes": image_boxes}
        )
    return results
