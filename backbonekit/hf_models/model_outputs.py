"""What whole models return, under transformers' names.

`loss`: scalar, with labels only. `loss_dict`: its terms by name, weighted, so that they sum to `loss`. `feature_maps`:
the backbone's, fine to coarse, each [batch, channels, height, width]. `hidden_states`, `attentions`: the backbone's,
where they are requested; see `BackboneOutput`. Every field may be left out, as for outputs that were gathered from
several processes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


class OrderedOutput(FieldMapping):
    """An output that can be read by position too: `out[0]`, `out[:2]`, `out.to_tuple()`. Fields that are None count in
    no position.

    `order`: the fields in transformers' order, which begins with `loss`; what only we have (`feature_maps`) is last.
    """

    order: ClassVar[tuple[str, ...]]

    def __getitem__(self, key: Any) -> Any:
        return self.to_tuple()[key] if isinstance(key, int | slice) else super().__getitem__(key)

    def to_tuple(self) -> tuple[Any, ...]:
        """The values of all fields that are not None."""
        return tuple(self[name] for name in self.order if name in self)


@register_output
@dataclass(eq=False)
class BoxModelOutput(OrderedOutput):
    """`logits`: [batch, queries, classes (+ 1 of DETR, "no object")], before softmax or sigmoid. `pred_boxes`: [batch,
    queries, 4], centre and size in [0, 1] of the image without its padding. `auxiliary_outputs`: the same two for
    earlier decoder layers, where they are computed."""

    order = ("loss", "loss_dict", "logits", "pred_boxes", "auxiliary_outputs", "feature_maps")

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    auxiliary_outputs: tuple[dict[str, Tensor], ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None


@register_output
@dataclass(eq=False)
class MaskModelOutput(OrderedOutput):
    """`class_queries_logits`: [batch, queries, classes + 1], before softmax, the last column "no object".
    `masks_queries_logits`: [batch, queries, height, width], before sigmoid. `auxiliary_logits`: the same two for
    earlier decoder layers, where they are computed."""

    order = (
        *("loss", "class_queries_logits", "masks_queries_logits", "auxiliary_logits"),
        *("feature_maps", "loss_dict"),
    )

    loss: Tensor | None = None
    class_queries_logits: Tensor | None = None
    masks_queries_logits: Tensor | None = None
    auxiliary_logits: tuple[dict[str, Tensor], ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None
    loss_dict: dict[str, Tensor] | None = None

    @property
    def losses(self) -> dict[str, Tensor] | None:
        """Another name of `loss_dict`."""
        return self.loss_dict


MaskFormerForInstanceSegmentationOutput = MaskModelOutput


@register_output
@dataclass(eq=False)
class DenseModelOutput(OrderedOutput):
    """`logits`: [batch, classes, height, width], before softmax."""

    order = ("loss", "logits", "hidden_states", "attentions", "feature_maps", "loss_dict")

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None
    loss_dict: dict[str, Tensor] | None = None


@register_output
@dataclass(eq=False)
class DepthModelOutput(OrderedOutput):
    """`predicted_depth`: [batch, height, width], metres of a metric model, else up to scale and shift."""

    order = ("loss", "predicted_depth", "hidden_states", "attentions", "feature_maps", "loss_dict")

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None
    loss_dict: dict[str, Tensor] | None = None


@register_output
@dataclass(eq=False)
class PoseModelOutput(OrderedOutput):
    """`heatmaps`: [batch, keypoints, height, width], high where the keypoint is."""

    order = ("loss", "heatmaps", "hidden_states", "attentions", "feature_maps", "loss_dict")

    loss: Tensor | None = None
    heatmaps: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None
    loss_dict: dict[str, Tensor] | None = None
