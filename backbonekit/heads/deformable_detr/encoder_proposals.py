"""Two-stage Deformable DETR: every position of the encoder proposes a box, and the best ones become queries.

Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), appendix A.4;
github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py, gen_encoder_output_proposals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.predictions import BoxQueries

SMALLEST_SIDE = 0.05  # of a proposal on the finest level, as a share of the image; doubled on each coarser one
EDGE = 0.01  # a position whose centre is nearer to the image's edge proposes no box
TEMPERATURE = 10_000.0


@dataclass(slots=True)
class Proposed:
    """Selected queries and the proposals of all positions.

    `queries`, `query_positions`: [batch, queries, channels]. `boxes`: their reference boxes, [batch, queries, 4],
    without gradient. `all_positions`: the predictions at every position, for the loss.
    """

    queries: Tensor
    query_positions: Tensor
    boxes: Tensor
    all_positions: BoxQueries


class EncoderProposals(nn.Module):
    """A class and a box predicted at every position of the maps; the first class logit is the objectness."""

    def __init__(self, channels: int, *, num_queries: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.memory_projection = nn.Linear(channels, channels)
        self.memory_norm = nn.LayerNorm(channels)
        self.query_projection = nn.Linear(channels * 2, channels * 2)
        self.query_norm = nn.LayerNorm(channels * 2)
        for layer in (self.memory_projection, self.query_projection):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        memory: Float[Tensor, "batch positions channels"],
        shapes: Sequence[tuple[int, int]],
        masks: Sequence[Bool[Tensor, "batch _ _"]],
        *,
        class_predictor: nn.Module,
        box_predictor: nn.Module,
    ) -> Proposed:
        """`masks`: for each level, True outside the padding; empty without padding. With fewer positions than
        `num_queries` there are as many queries as positions."""
        anchors, inside = _anchors(shapes, masks, like=memory)
        # An infinite logit is a side of 1 for every prediction, and has no gradient.
        anchor_logits = (anchors / (1 - anchors)).log().masked_fill(~inside, torch.inf).to(memory.dtype)
        candidates = self.memory_norm(self.memory_projection(memory.masked_fill(~inside, 0.0)))
        class_logits = class_predictor(candidates)
        box_logits = box_predictor(candidates) + anchor_logits
        best = class_logits[..., 0].topk(min(self.num_queries, memory.shape[1]), dim=1).indices
        boxes = box_logits.gather(1, best[..., None].expand(-1, -1, 4)).detach().sigmoid()
        positions, queries = self.query_norm(self.query_projection(_waves(boxes, memory.shape[-1]))).chunk(2, dim=-1)
        return Proposed(queries, positions, boxes, BoxQueries(class_logits, box_logits.sigmoid()))


def _anchors(
    shapes: Sequence[tuple[int, int]], masks: Sequence[Tensor], *, like: Tensor
) -> tuple[Float[Tensor, "#batch positions 4"], Bool[Tensor, "#batch positions 1"]]:
    """Squares around all positions, relative to the image without its padding, and whether each is inside it."""
    dtype = torch.promote_types(like.dtype, torch.float32)  # bfloat16 counts to 256, halves to 128
    anchors = []
    for level, (height, width) in enumerate(shapes):
        y = torch.arange(height, dtype=dtype, device=like.device) + 0.5
        x = torch.arange(width, dtype=dtype, device=like.device) + 0.5
        # centres: [1 or batch, positions, 2], x and y
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1)[None]
        if masks:
            real = torch.stack((masks[level][:, 0].sum(1), masks[level][:, :, 0].sum(1)), dim=-1)
            centres = centres / real.clamp(min=1).to(dtype)[:, None]
        else:
            centres = torch.stack((centres[..., 0] / width, centres[..., 1] / height), dim=-1)
        anchors.append(torch.cat((centres, torch.full_like(centres, SMALLEST_SIDE * 2**level)), dim=-1))
    joined = torch.cat(anchors, dim=1)
    inside = ((joined > EDGE) & (joined < 1 - EDGE)).all(-1, keepdim=True)
    if masks:
        inside = inside & torch.cat([mask.flatten(1) for mask in masks], dim=1)[..., None]
    return joined, inside


def _waves(boxes_cxcywh: Tensor, channels: int) -> Tensor:
    """[batch, queries, 4] in [0, 1] -> [batch, queries, 2 x channels]: each number as alternating sines and cosines."""
    count = channels // 2
    dtype = torch.promote_types(boxes_cxcywh.dtype, torch.float32)  # the lowest frequencies are too low for 16 bits
    pair = torch.arange(count, device=boxes_cxcywh.device, dtype=torch.int64).div(2, rounding_mode="floor")
    angles = boxes_cxcywh.to(dtype)[..., None] * (2 * math.pi) / TEMPERATURE ** (2 * pair.to(dtype) / count)
    waves = torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-3)
    return waves.to(boxes_cxcywh.dtype)
