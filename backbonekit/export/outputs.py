"""Predictions as tensors by name, and back. One table says which fields of each kind are written to a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backbonekit.contract.predictions import (
    BoxCandidates,
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    Detections,
    Heatmaps,
    MaskQueries,
    Prediction,
    Scoring,
)
from backbonekit.errors import ContractError, StorageError


@dataclass(frozen=True, slots=True)
class OutputField:
    """A field that post-processing reads. `dimensions`: how many its tensor has. `per_level`: a tuple of tensors, named
    `NAME_0`, `NAME_1`, ...; `is_optional`: may be None."""

    name: str
    dimensions: int
    per_level: bool = False
    is_optional: bool = False


# What is left out serves the loss alone: auxiliary predictions, raw regressions, anchors.
OUTPUT_FIELDS: Mapping[type[Prediction], tuple[OutputField, ...]] = {
    ClassScores: (OutputField("logits", 2),),
    DenseLogits: (OutputField("logits", 4),),
    DenseDepth: (OutputField("depth", 3),),
    MaskQueries: (OutputField("class_logits", 3), OutputField("mask_logits", 4)),
    BoxQueries: (OutputField("class_logits", 3), OutputField("boxes_cxcywh", 3)),
    BoxCandidates: (
        OutputField("class_logits", 3, per_level=True),
        OutputField("boxes_xyxy", 3, per_level=True),
        OutputField("quality_logits", 3, per_level=True, is_optional=True),
    ),
    Heatmaps: (OutputField("heatmaps", 4),),
}
_MAX_LEVELS = 64  # of one prediction; detectors have five


def kind_named(name: str) -> type[Prediction] | None:
    """The kind of prediction with this name that a file can contain; None for any other name."""
    return next((kind for kind in OUTPUT_FIELDS if kind.__name__ == name), None)


def check_kind(kind: type[Prediction] | None) -> None:
    """Raises ContractError for final detections, whose number depends on the image, so that no tensor of a fixed number
    of dimensions holds those of a batch."""
    if kind is Detections:
        raise ContractError(
            "export: an R-CNN proposes a number of regions that depends on the image, and its head returns a list for "
            "each image, which is no tensor. The fix: a detector of another kind, such as head=fcos or head=rt_detr."
        )


def tensors_of(prediction: Prediction) -> dict[str, Tensor]:
    """The tensors of a prediction by name."""
    fields = OUTPUT_FIELDS.get(type(prediction))
    if fields is None:  # a kind of prediction of a plugin
        return {name: value for name, value in prediction.items() if isinstance(value, Tensor)}
    return dict(_named(prediction, fields))


def _named(prediction: Prediction, fields: tuple[OutputField, ...]) -> Iterator[tuple[str, Tensor]]:
    for field in fields:
        if field.is_optional and field.name not in prediction:
            continue
        value = prediction[field.name]
        if field.per_level:
            yield from ((f"{field.name}_{level}", tensor) for level, tensor in enumerate(value))
        else:
            yield field.name, value


def prediction_of_tensors(
    kind: type[Prediction], tensors: Mapping[str, Tensor], *, batch: int, shown: str
) -> Prediction:
    """The prediction that these tensors are. `shown`: the file's name in messages. Raises StorageError where one is
    missing, or has another number of dimensions or images: somebody else wrote the file."""
    values: dict[str, Any] = {}
    for field in OUTPUT_FIELDS[kind]:
        if not field.per_level:
            values[field.name] = _checked(tensors, field.name, field, batch, shown)
            continue
        count = next(level for level in range(_MAX_LEVELS) if f"{field.name}_{level}" not in tensors)
        if count == 0 and field.is_optional:
            values[field.name] = None
            continue
        names = [f"{field.name}_{level}" for level in range(max(count, 1))]
        values[field.name] = tuple(_checked(tensors, name, field, batch, shown) for name in names)
    _check_together(values, shown)
    if kind is BoxCandidates:
        values |= {"regression": (), "anchors_xyxy": ()}  # of the loss
    return kind(**values)


def num_classes_of(prediction: Prediction, scoring: Scoring) -> int | None:
    """The number of classes that a prediction tells apart; None of a kind without classes."""
    match prediction:
        case ClassScores(logits=logits) | DenseLogits(logits=logits):
            return logits.shape[1]
        case MaskQueries(class_logits=logits) | BoxQueries(class_logits=logits):
            return logits.shape[-1] - (scoring == "softmax_with_null")
        case BoxCandidates(class_logits=levels):
            return levels[0].shape[-1]
    return None


def _checked(tensors: Mapping[str, Tensor], name: str, field: OutputField, batch: int, shown: str) -> Tensor:
    if name not in tensors:
        raise StorageError(f"{shown}: the output {name!r}, which its metadata requires, is missing.")
    tensor = tensors[name]
    if tensor.ndim != field.dimensions or tensor.shape[0] != batch or 0 in tensor.shape:
        raise StorageError(
            f"{shown}: the output {name!r} has the shape {list(tensor.shape)}; {field.dimensions} dimensions, the "
            f"first of {batch} images, are required."
        )
    if not tensor.is_floating_point():
        raise StorageError(f"{shown}: the output {name!r} holds no floating-point numbers.")
    return tensor


def _check_together(values: Mapping[str, Any], shown: str) -> None:
    """As many boxes or masks as classes of them, on as many levels."""
    logits = values.get("class_logits")
    for name in ("mask_logits", "boxes_cxcywh", "boxes_xyxy", "quality_logits"):
        other = values.get(name)
        if logits is None or other is None:
            continue
        pairs = ([logits], [other]) if isinstance(logits, Tensor) else (logits, other)
        sizes = [[tensor.shape[1] for tensor in one] for one in pairs]
        last = {tensor.shape[-1] for tensor in pairs[1]}
        if sizes[0] != sizes[1] or (name.startswith("boxes") and last != {4}) or (name[0] == "q" and last != {1}):
            raise StorageError(f"{shown}: the outputs 'class_logits' and {name!r} do not belong together.")
