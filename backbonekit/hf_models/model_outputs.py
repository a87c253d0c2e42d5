"""What whole models return, under transformers' names.

`loss`: scalar, with labels only. `loss_dict`: its terms by name, weighted, so that they sum to `loss`. `feature_maps`:
the backbone's, fine to coarse, each [batch, channels, height, width].
"""

from dataclasses import dataclass

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


@register_output
@dataclass(eq=False)
class BoxModelOutput(FieldMapping):
    """`logits`: [batch, queries, classes (+ 1 of DETR, "no object")], before softmax or sigmoid. `pred_boxes`: [batch,
    queries, 4], centre and size in [0, 1] of the image without its padding. `auxiliary_outputs`: the same two for
    earlier decoder layers, where they are computed."""

    logits: Tensor
    pred_boxes: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    auxiliary_outputs: tuple[dict[str, Tensor], ...] | None = None


@register_output
@dataclass(eq=False)
class MaskModelOutput(FieldMapping):
    """`class_queries_logits`: [batch, queries, classes + 1], before softmax, the last column "no object".
    `masks_queries_logits`: [batch, queries, height, width], before sigmoid. `auxiliary_logits`: the same two for
    earlier decoder layers, where they are computed."""

    class_queries_logits: Tensor
    masks_queries_logits: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    auxiliary_logits: tuple[dict[str, Tensor], ...] | None = None

    @property
    def losses(self) -> dict[str, Tensor] | None:
        """Another name of `loss_dict`."""
        return self.loss_dict


MaskFormerForInstanceSegmentationOutput = MaskModelOutput


@register_output
@dataclass(eq=False)
class DenseModelOutput(FieldMapping):
    """`logits`: [batch, classes, height, width], before softmax."""

    logits: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None


@register_output
@dataclass(eq=False)
class DepthModelOutput(FieldMapping):
    """`predicted_depth`: [batch, height, width], metres of a metric model, else up to scale and shift."""

    predicted_depth: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None


@register_output
@dataclass(eq=False)
class PoseModelOutput(FieldMapping):
    """`heatmaps`: [batch, keypoints, height, width], high where the keypoint is."""

    heatmaps: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
