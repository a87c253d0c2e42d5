"""What whole models return, under transformers' names.

`loss`: scalar, with labels only. `loss_dict`: its terms by name, weighted, so that they sum to `loss`. `feature_maps`:
the backbone's, fine to coarse, each [batch, channels, height, width]. `hidden_states`, `attentions`: where they are
requested; of models that predict maps the backbone's, see `BackboneOutput`. Every field may be left out, as for outputs
that were gathered from several processes.
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
    earlier decoder layers, where they are computed.

    `last_hidden_state`: the queries after the decoder, [batch, queries, channels]. `encoder_last_hidden_state`: [batch,
    positions, channels]; of RT-DETR and D-FINE the encoder's maps, fine to coarse. `encoder_hidden_states`,
    `decoder_hidden_states`: before the first layer and after each; of RT-DETR's and D-FINE's encoder the coarsest map
    before its transformer and after it. `encoder_attentions`, `decoder_attentions` (of queries to each other),
    `cross_attentions`: of each layer [batch, heads, queries, keys]; of deformable attention [batch, queries, heads,
    points], for Deformable DETR and RT-DETR version 1 [batch, queries, heads, levels, points]."""

    order = (
        *("loss", "loss_dict", "logits", "pred_boxes", "auxiliary_outputs", "last_hidden_state"),
        *("decoder_hidden_states", "decoder_attentions", "cross_attentions", "encoder_last_hidden_state"),
        *("encoder_hidden_states", "encoder_attentions", "feature_maps"),
    )

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    auxiliary_outputs: tuple[dict[str, Tensor], ...] | None = None
    last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None


@register_output
@dataclass(eq=False)
class MaskModelOutput(OrderedOutput):
    """`class_queries_logits`: [batch, queries, classes + 1], before softmax, the last column "no object".
    `masks_queries_logits`: [batch, queries, height, width], before sigmoid. `auxiliary_logits`: the same two for
    earlier decoder layers, where they are computed.

    `encoder_last_hidden_state`: the backbone's coarsest map. `pixel_decoder_last_hidden_state`: the mask features.
    `transformer_decoder_last_hidden_state`: the queries, [batch, queries, channels]; of MaskFormer after the last norm,
    of Mask2Former before it. `encoder_hidden_states`: the backbone's maps, fine to coarse;
    `pixel_decoder_hidden_states`: maps, coarse to fine; `transformer_decoder_hidden_states`: the queries before the
    first layer and after each, of Mask2Former [queries, batch, channels]; `hidden_states`: of MaskFormer these three
    together. `attentions`: of queries to each other, [batch, heads, queries, queries] for each layer."""

    order = (
        *("loss", "class_queries_logits", "masks_queries_logits", "auxiliary_logits", "encoder_last_hidden_state"),
        *("pixel_decoder_last_hidden_state", "transformer_decoder_last_hidden_state", "encoder_hidden_states"),
        *("pixel_decoder_hidden_states", "transformer_decoder_hidden_states", "hidden_states", "attentions"),
        *("feature_maps", "loss_dict"),
    )

    loss: Tensor | None = None
    class_queries_logits: Tensor | None = None
    masks_queries_logits: Tensor | None = None
    auxiliary_logits: tuple[dict[str, Tensor], ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    pixel_decoder_last_hidden_state: Tensor | None = None
    transformer_decoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
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
