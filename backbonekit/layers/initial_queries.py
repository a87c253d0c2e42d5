"""What the decoders of RT-DETR and D-FINE start from: memory, the best proposals, and in training disturbed truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Probability, Queries
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


@dataclass(slots=True)
class Start:
    """`queries`: [batch, disturbed + queries, channels]. `references`: the boxes they start from, in [0, 1] of the
    canvas, without gradient. `query_mask`: who may look at whom. `memory`, `shapes`, `memory_mask`: the maps as places.
    `stretch`: [batch or 1, 1, 4], from shares of the canvas to shares of the image without its padding; None where
    they are the same."""

    queries: Tensor
    references: Tensor
    query_mask: Tensor | None
    memory: Tensor
    shapes: Sequence[tuple[int, int]]
    memory_mask: Tensor | None
    stretch: Tensor | None
    proposals: BoxQueries
    disturbed: NoisedBoxes | None

    def in_image(self, boxes_cxcywh: Tensor) -> Tensor:
        return boxes_cxcywh if self.stretch is None else boxes_cxcywh * self.stretch

    def prediction(self, layers: Sequence[BoxQueries], *, is_training: bool) -> BoxQueries:
        """The last of the layers as the prediction, the others beside it; what disturbed queries say by itself."""
        count = 0 if self.disturbed is None else self.disturbed.target_index.shape[1]
        *earlier, last = [_part(layer, count, None) for layer in layers] if count else layers
        if not is_training:
            return BoxQueries(last.class_logits, last.boxes_cxcywh)
        last.auxiliary, last.proposals = tuple(earlier) or None, self.proposals
        if self.disturbed is not None:
            last.denoising = DenoisingQueries(
                tuple(_part(layer, 0, count) for layer in layers),
                self.disturbed.target_index,
                self.disturbed.is_positive,
            )
        return last


class StartingQueries(nn.Module):
    """Maps of one width as places, the queries selected from them, and disturbed ones before them in training.

    `head`: whose, for the sentence that refuses too few levels. `num_levels`: how many of the deepest. `project`: a 1x1
    convolution and batch norm on every level even where it already has the decoder's width. The rest as in the heads.
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
        box_noise: float,
    ) -> None:
        super().__init__()
        if len(features.levels) < num_levels:
            raise ContractError(
                f"head {head}: points has {num_levels} numbers, one for each level, and {len(features.levels)} levels "
                f"arrive. The fix: fewer numbers, or a neck with more levels."
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
        # The last row stands for no box at all.
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

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> Start:
        """`targets`: only in training, to be disturbed."""
        projected = [
            project(level) for project, level in zip(self.projections, maps.maps[-self.num_levels :], strict=True)
        ]
        memory, shapes = flatten_levels(projected)
        memory_mask, stretch = _padding(canvas, shapes, memory)
        selected = self.selection(memory, shapes, memory_mask)
        queries = selected.features.detach()
        if self.learned is not None:
            queries = self.learned.weight[: queries.shape[1]].expand(memory.shape[0], -1, -1)
        boxes = selected.box_logits.sigmoid()
        proposals = BoxQueries(selected.class_logits, boxes if stretch is None else boxes * stretch)
        references = boxes.detach()
        disturbed, query_mask = None, None
        if targets is not None and self.label_embedding is not None:
            disturbed = self._disturb(targets, canvas, boxes, stretch)
            query_mask = denoising_attention_mask(
                disturbed.labels.shape[1], disturbed.group_size, queries.shape[1], device=memory.device
            )
            queries = torch.cat((self.label_embedding(disturbed.labels), queries), dim=1)
            references = torch.cat((disturbed.box_logits.sigmoid(), references), dim=1)
        return Start(queries, references, query_mask, memory, shapes, memory_mask, stretch, proposals, disturbed)

    def _disturb(self, targets: Targets, canvas: Canvas, like: Tensor, stretch: Tensor | None) -> NoisedBoxes:
        truth = read_box_targets([_told(target, like) for target in targets], canvas, like=like)
        assert truth is not None, "every image has been given a truth"
        for target in targets:
            if "labels" in target:
                check_labels(target["labels"], self.num_classes, key="labels")
        boxes = truth.boxes_cxcywh if stretch is None else truth.boxes_cxcywh / stretch
        return noised_boxes(
            truth.labels,
            boxes,
            truth.present,
            num_classes=self.num_classes,
            count=self.num_denoising_queries,
            label_noise=self.label_noise,
            box_noise=self.box_noise,
        )


def strides_for(num_levels: int) -> Requirement:
    """As many levels up to stride 32."""
    return Requirement(strides=tuple(max(1, COARSEST >> power) for power in reversed(range(num_levels))))


def _told(target: Target, like: Tensor) -> Target:
    """An image of which nothing is told has nothing to disturb."""
    if "labels" in target and "boxes" in target:
        return target
    return {"labels": like.new_zeros(0, dtype=torch.int64), "boxes": like.new_zeros(0, 4)}


def _padding(canvas: Canvas, shapes: Sequence[tuple[int, int]], like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Which places are real, and how much larger a box is in its image than on the canvas."""
    masks = [canvas.mask_at(height, width) for height, width in shapes]
    real = [mask.flatten(1) for mask in masks if mask is not None]
    if not real:
        return None, None
    dtype = torch.promote_types(like.dtype, torch.float32)
    height, width = canvas.size
    sizes = image_sizes(canvas, like.new_empty(0, dtype=dtype))
    whole = torch.stack((sizes.new_full((), width), sizes.new_full((), height)))
    return torch.cat(real, dim=1), (whole / sizes).repeat(1, 2)[:, None]


def _part(layer: BoxQueries, first: int, last: int | None) -> BoxQueries:
    """Some of the queries."""
    edges, references = layer.edge_logits, layer.reference_boxes
    return BoxQueries(
        layer.class_logits[:, first:last],
        layer.boxes_cxcywh[:, first:last],
        edge_logits=None if edges is None else edges[:, first:last],
        reference_boxes=None if references is None else references[:, first:last],
    )
