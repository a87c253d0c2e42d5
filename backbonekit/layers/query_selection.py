"""RT-DETR's query selection: a box is proposed at every position, and those with the highest scores become queries.

Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (2024), section 4.3;
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/rtdetr_decoder.py, _get_decoder_input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Classes, Queries
from backbonekit.layers.feedforward import MLP

SMALLEST_SIDE = 0.05  # of a proposal on the finest level, as a share of the canvas; doubled on each coarser one
EDGE = 0.01  # a position whose centre is nearer to the canvas's edge proposes no box
PRIOR = 0.01  # how likely a class is at the start of training


@dataclass(slots=True)
class SelectedQueries:
    """`features`: [batch, queries, channels]. `box_logits`: [batch, queries, 4], centre and size on the canvas before
    sigmoid, at least in float32. `class_logits`: [batch, queries, classes], before sigmoid. All with gradient."""

    features: Tensor
    box_logits: Tensor
    class_logits: Tensor


class QuerySelection(nn.Module):
    """Predicts classes and a box at every position, and selects the positions with the highest class score.

    `num_queries`: the number of selected positions; fewer where the maps have fewer positions.
    """

    def __init__(self, channels: Channels, *, num_classes: Classes, num_queries: Queries) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.projection = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.class_predictor = nn.Linear(channels, num_classes)
        self.box_predictor = MLP(channels, hidden_channels=channels, out_channels=4)
        nn.init.xavier_uniform_(self.projection.weight)
        initialise_predictors(self.class_predictor, self.box_predictor)

    def forward(
        self,
        memory: Float[Tensor, "batch positions channels"],
        shapes: Sequence[tuple[int, int]],
        mask: Bool[Tensor, "batch positions"] | None = None,
    ) -> SelectedQueries:
        """`shapes`: (height, width) of each map, fine to coarse. `mask`: False in the padding, whose positions
        are selected last."""
        anchors, inside = anchor_logits(shapes, like=memory)
        if mask is not None:
            inside = inside & mask[..., None]
            anchors = anchors.masked_fill(~inside, torch.finfo(anchors.dtype).max)
        features = self.norm(self.projection(memory.masked_fill(~inside, 0.0)))
        class_logits = self.class_predictor(features)
        scores = class_logits.amax(-1)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        best = scores.topk(min(self.num_queries, memory.shape[1]), dim=1).indices[..., None]
        features = features.gather(1, best.expand(-1, -1, features.shape[-1]))
        anchors = anchors.expand(memory.shape[0], -1, -1).gather(1, best.expand(-1, -1, 4))
        return SelectedQueries(
            features,
            # Boxes are predicted for the selected positions only.
            self.box_predictor(features) + anchors,
            class_logits.gather(1, best.expand(-1, -1, class_logits.shape[-1])),
        )


def anchor_logits(
    shapes: Sequence[tuple[int, int]], *, like: Tensor
) -> tuple[Float[Tensor, "1 positions 4"], Bool[Tensor, "1 positions 1"]]:
    """A square anchor at every position, as logits of its centre and size on the canvas, and whether it is valid.

    An anchor is valid if it is not too near to the canvas's edge. The logits of other anchors are the largest finite
    number: the sigmoid is 1 whatever is added, and has no gradient.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    anchors = []
    for level, (height, width) in enumerate(shapes):
        y = (torch.arange(height, dtype=dtype, device=like.device) + 0.5) / height
        x = (torch.arange(width, dtype=dtype, device=like.device) + 0.5) / width
        # centres: [positions, 2]
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1)
        anchors.append(torch.cat((centres, torch.full_like(centres, SMALLEST_SIDE * 2.0**level)), dim=-1))
    joined = torch.cat(anchors)[None]
    inside = ((joined > EDGE) & (joined < 1 - EDGE)).all(-1, keepdim=True)
    return (joined / (1 - joined)).log().where(inside, torch.finfo(dtype).max), inside


def initialise_predictors(class_predictor: nn.Linear, box_predictor: MLP) -> None:
    """Initialises predictors: class probabilities start low, and boxes start at their reference."""
    nn.init.constant_(class_predictor.bias, -math.log((1 - PRIOR) / PRIOR))
    nn.init.zeros_(box_predictor.layers[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(box_predictor.layers[-1].bias)  # type: ignore[arg-type]
