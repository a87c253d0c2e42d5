"""Deformable attention: each query samples a few learned positions around its reference point.

Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), section 4.1;
github.com/fundamentalvision/Deformable-DETR, models/ops/modules/ms_deform_attn.py. Different numbers of points a level
and discrete sampling: Lv et al., "RT-DETRv2: Improved Baseline with Bag-of-Freebies" (2024).
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Range
from backbonekit.errors import ContractError
from backbonekit.ops.deformable_sampling import Sampling, deformable_sampling

Points = Annotated[int, Range(1, 64)]  # of one level
OffsetScale = Annotated[float, Range(0.0, 100.0)]


class DeformableAttention(nn.Module):
    """Each query and head samples a few points of each level; offsets and weights are predicted from the query.

    `channels`: of queries, memory and output. `num_heads`: divides `channels`. `num_points`: the number of
    sampling points on each level, in the order of levels. `offset_scale`: the scale of offsets, in box sizes, where
    references are boxes. `project`: a linear layer on the values and on the result; D-FINE has none. `sampling`:
    `nearest` for deployment without bilinear sampling.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        num_heads: Heads = 8,
        num_points: Sequence[int] = (4, 4, 4, 4),
        offset_scale: float = 0.5,
        project: bool = True,
        sampling: Sampling = "bilinear",
    ) -> None:
        super().__init__()
        if channels % num_heads:
            raise ContractError(f"num_heads={num_heads} does not divide channels={channels}.")
        self.num_heads = num_heads
        self.num_points = tuple(num_points)
        self.offset_scale = offset_scale
        self.sampling: Sampling = sampling
        self.offsets = nn.Linear(channels, num_heads * sum(self.num_points) * 2)
        self.weights = nn.Linear(channels, num_heads * sum(self.num_points))
        if sampling == "nearest":
            # They receive no gradient, and distributed training waits for one of every parameter that requires it.
            self.offsets.requires_grad_(False)
        self.value = nn.Linear(channels, channels) if project else nn.Identity()
        self.output = nn.Linear(channels, channels) if project else nn.Identity()
        self._initialise()

    def forward(
        self,
        queries: Float[Tensor, "batch queries channels"],
        references: Float[Tensor, "#batch queries #levels coordinates"],
        memory: Float[Tensor, "batch positions channels"],
        shapes: Sequence[tuple[int, int]],
        memory_mask: Bool[Tensor, "batch positions"] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        """`queries`: with their position embedding added. `references`: x, y (or x, y, width, height of a box) in
        [0, 1] of a level, padding included. `memory`: the flattened maps, level after level. `shapes`: (height, width)
        of each level. `memory_mask`: False in the padding, which is read as zero."""
        values = self._values(memory)
        if memory_mask is not None:
            values = values.masked_fill(~memory_mask[:, None], 0.0)
        # offsets: [batch, queries, heads, points of all levels, 2]
        offsets = self.offsets(queries).unflatten(-1, (self.num_heads, -1, 2))
        weights = self.weights(queries).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        return self.output(
            deformable_sampling(
                values.unflatten(1, (self.num_heads, -1)),
                shapes,
                self._locations(references, offsets, shapes),
                weights,
                points=self.num_points,
                sampling=self.sampling,
            )
        )

    def _values(self, memory: Float[Tensor, "batch positions channels"]) -> Float[Tensor, "batch channels positions"]:
        """The projected values with positions last, as the sampling reads them, so that no transpose is needed."""
        if type(self.value) is not nn.Linear:  # no projection, or another module in its place
            return self.value(memory).transpose(1, 2)
        weight, bias = self.value.weight, self.value.bias
        return torch.baddbmm(bias[:, None], weight.expand(memory.shape[0], -1, -1), memory.transpose(1, 2))

    def _locations(self, references: Tensor, offsets: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """The sampling locations. Offsets are in pixels of the level around a reference point, and relative to the size
        of a reference box around its centre."""
        locations = []
        for level, ((height, columns), offset) in enumerate(
            zip(shapes, offsets.split(self.num_points, dim=3), strict=True)
        ):
            # reference: [batch, queries, 1, 1, 2 or 4]
            reference = references[:, :, min(level, references.shape[2] - 1), None, None, :]
            if reference.shape[-1] == 2:
                steps = torch.stack((offset[..., 0] / columns, offset[..., 1] / height), dim=-1)
            else:
                steps = offset * (self.offset_scale / self.num_points[level]) * reference[..., 2:]
            locations.append(reference[..., :2] + steps)
        return torch.cat(locations, dim=3)

    def _initialise(self) -> None:
        """As in the paper: head h points in direction h, point k is at distance k, and all weights are equal."""
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        angles = [2 * math.pi * head / self.num_heads for head in range(self.num_heads)]
        bias = []
        for angle in angles:
            x, y = math.cos(angle), math.sin(angle)
            reach = max(abs(x), abs(y))
            for count in self.num_points:
                bias += [[x / reach * (point + 1), y / reach * (point + 1)] for point in range(count)]
        with torch.no_grad():
            self.offsets.bias.copy_(torch.tensor(bias).flatten())
        for layer in (self.value, self.output):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
