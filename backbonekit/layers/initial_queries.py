"""The input of the decoders of RT-DETR and D-FINE: encoder memory, selected queries and denoising queries.

Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (2024), section 4.3;
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/rtdetr_decoder.py, _get_decoder_input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Probability, Queries, Range
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Target, Targets
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.layers.query_selection import QuerySelection
from backbonekit.ops.boxes import image_sizes
from backbonekit.ops.denoising import NoisedBoxes, denoising_attention_mask, noised_boxes
from backbonekit.ops.levels import flatten_levels
from backbonekit.ops.targets import check_labels, read_box_targets

COARSEST = 32

BoxNoise = Annotated[float, Range(0.0, 10.0)]


@dataclass(slots=True)
class DecoderInput:
    """The queries, their reference boxes and the flattened feature maps that the decoder reads.

    `queries`: [batch, denoising + selected, channels]; denoising queries come first. `references`: the reference box of
    each query, in [0, 1] of the canvas, without gradient. `query_mask`: True where a query may attend to another; None
    without denoising queries. `memory`, `shapes`, `memory_mask`: the flattened maps, their sizes and the positions
    outside padding, as for `DeformableAttention`. `box_scale`: [batch or 1, 1, 4], converts boxes relative to the
    canvas into boxes relative to the image without its padding; None where the canvas has no mask. `proposals`: the
    prediction of the query selection. `denoising`: the boxes of the denoising queries; None without them.
    """

    queries: Tensor
    references: Tensor
    query_mask: Tensor | None
    memory: Tensor
    shapes: Sequence[tuple[int, int]]
    memory_mask: Tensor | None
    box_scale: Tensor | None
    proposals: BoxQueries
    denoising: NoisedBoxes | None

    def in_image(self, boxes_cxcywh: Tensor) -> Tensor:
        """Boxes relative to the canvas, as boxes relative to the image without its padding."""
        return boxes_cxcywh if self.box_scale is None else boxes_cxcywh * self.box_scale

    def prediction(self, layers: Sequence[BoxQueries], *, is_training: bool) -> BoxQueries:
        """Returns the last layer's prediction; in training with the earlier layers as auxiliary predictions, the
        proposals, and the predictions of the denoising queries, which are split off.

        `layers`: the prediction of each decoder layer, for all queries.
        """
        count = 0 if self.denoising is None else self.denoising.target_index.shape[1]
        *earlier, last = [_part(layer, count, None) for layer in layers] if count else layers
        if not is_training:
            return BoxQueries(last.class_logits, last.boxes_cxcywh)
        last.auxiliary, last.proposals = tuple(earlier) or None, self.proposals
        if self.denoising is not None:
            last.denoising = DenoisingQueries(
                tuple(_part(layer, 0, count) for layer in layers),
                self.denoising.target_index,
                self.denoising.is_positive,
            )
        return last


class InitialQueries(nn.Module):
    """Query selection on the projected feature maps; in training also contrastive denoising queries.

    `head`: the head's name for the error message about too few levels. `num_levels`: the number of levels to read,
    counted from the coarsest. `project`: a 1x1 convolution and batch norm on every level, even where it already has the
    decoder's width. The other options are those of the heads.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        head: str,
        num_levels: int,
        channels: Channels,
        num_classes: Classes,
        num_queries: Queries,
        project: bool,
        learned_queries: bool,
        num_denoising_queries: Count,
        label_noise: Probability,
        box_noise: BoxNoise,
    ) -> None:
        super().__init__()
        if len(features.levels) < num_levels:
            raise ContractError(
                f"head {head}: num_points has {num_levels} numbers, one for each level, but the features have "
                f"{len(features.levels)} levels. The fix: fewer numbers, or a neck with more levels."
            )
        self.num_levels = num_levels
        self.num_classes = num_classes
        self.projections = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm="batch")
            if project or level.channels != channels
            else nn.Identity()
            for level in features.levels[-num_levels:]
        )
        self.selection = QuerySelection(channels, num_classes=num_classes, num_queries=num_queries)
        self.learned = nn.Embedding(num_queries, channels) if learned_queries else None
        # The last row is the label of padding queries.
        self.label_embedding = (
            nn.Embedding(num_classes + 1, channels, padding_idx=num_classes) if num_denoising_queries else None
        )
        self.num_denoising_queries = num_denoising_queries
        self.label_noise = label_noise
        self.box_noise = box_noise
        for projection in self.projections:
            if isinstance(projection, ConvolutionNorm):
                nn.init.xavier_uniform_(projection.convolution.weight)
        if self.learned is not None:
            nn.init.xavier_uniform_(self.learned.weight)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> DecoderInput:
        """`targets`: in training, for the denoising queries; otherwise None."""
        projected = [
            project(level) for project, level in zip(self.projections, maps.maps[-self.num_levels :], strict=True)
        ]
        memory, shapes = flatten_levels(projected)
        memory_mask, box_scale = _padding(canvas, shapes, memory)
        selected = self.selection(memory, shapes, memory_mask)
        queries = selected.features.detach()
        if self.learned is not None:
            queries = self.learned.weight[: queries.shape[1]].expand(memory.shape[0], -1, -1)
        boxes = selected.box_logits.sigmoid()
        proposals = BoxQueries(selected.class_logits, boxes if box_scale is None else boxes * box_scale)
        references = boxes.detach()
        denoising, query_mask = None, None
        if targets is not None and self.label_embedding is not None:
            denoising = self._noised_targets(targets, canvas, boxes, box_scale)
            query_mask = denoising_attention_mask(
                denoising.labels.shape[1], denoising.group_size, queries.shape[1], device=memory.device
            )
            queries = torch.cat((self.label_embedding(denoising.labels), queries), dim=1)
            references = torch.cat((denoising.box_logits.sigmoid(), references), dim=1)
        return DecoderInput(
            queries, references, query_mask, memory, shapes, memory_mask, box_scale, proposals, denoising
        )

    def _noised_targets(self, targets: Targets, canvas: Canvas, like: Tensor, box_scale: Tensor | None) -> NoisedBoxes:
        box_targets = read_box_targets([_with_boxes(target, like) for target in targets], canvas, like=like)
        assert box_targets is not None, "every target has boxes"
        for target in targets:
            if "labels" in target:
                check_labels(target["labels"], self.num_classes, key="labels")
        boxes = box_targets.boxes_cxcywh if box_scale is None else box_targets.boxes_cxcywh / box_scale
        return noised_boxes(
            box_targets.labels,
            boxes,
            box_targets.present,
            num_classes=self.num_classes,
            count=self.num_denoising_queries,
            label_noise=self.label_noise,
            box_noise=self.box_noise,
        )


def strides_for(num_levels: int) -> Requirement:
    """The given number of levels, the coarsest of stride 32."""
    return Requirement(strides=tuple(max(1, COARSEST >> power) for power in reversed(range(num_levels))))


def _with_boxes(target: Target, like: Tensor) -> Target:
    """The target itself, or one without boxes where the image is not labelled with boxes."""
    if "labels" in target and "boxes" in target:
        return target
    return {"labels": like.new_zeros(0, dtype=torch.int64), "boxes": like.new_zeros(0, 4)}


def _padding(canvas: Canvas, shapes: Sequence[tuple[int, int]], like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The mask of positions outside padding, and the scale of boxes from canvas to image; None without a mask."""
    masks = [canvas.mask_at(height, width) for height, width in shapes]
    flat_masks = [mask.flatten(1) for mask in masks if mask is not None]
    if not flat_masks:
        return None, None
    dtype = torch.promote_types(like.dtype, torch.float32)
    height, width = canvas.size
    sizes = image_sizes(canvas, like.new_empty(0, dtype=dtype))
    canvas_sizes = torch.stack((sizes.new_full((), width), sizes.new_full((), height)))
    return torch.cat(flat_masks, dim=1), (canvas_sizes / sizes).repeat(1, 2)[:, None]


def _part(layer: BoxQueries, first: int, last: int | None) -> BoxQueries:
    """The predictions of queries `first` to `last`."""
    edges, references = layer.edge_logits, layer.reference_boxes
    return BoxQueries(
        layer.class_logits[:, first:last],
        layer.boxes_cxcywh[:, first:last],
        edge_logits=None if edges is None else edges[:, first:last],
        reference_boxes=None if references is None else references[:, first:last],
    )
