"""Several maps of one image read each other: the encoder of Deformable DETR and of Mask2Former's pixel decoder.

Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), section 4.2;
github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Channels, Count, Heads, Layers, Probability
from backbonekit.layers.activation import Activation
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.layers.feedforward import FeedForward
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.ops.levels import flatten_levels, reference_points, split_levels, valid_ratios


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, each with a shortcut and a norm after it (post-norm).

    `num_levels`: how many maps there are. `num_points`: how many places of each map a place reads. The rest as in
    `TransformerEncoderLayer`.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        num_levels: Count,
        num_heads: Heads = 8,
        num_points: Count = 4,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.self_attention = DeformableAttention(channels, num_heads=num_heads, num_points=(num_points,) * num_levels)
        self.self_attention_norm = nn.LayerNorm(channels)
        self.feedforward = FeedForward(
            channels, hidden_channels=feedforward_channels, dropout=activation_dropout, activation=activation
        )
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = dropout

    def forward(
        self,
        places: Float[Tensor, "batch places channels"],
        *,
        positions: Float[Tensor, "#batch places channels"],
        references: Float[Tensor, "#batch places levels 2"],
        shapes: Sequence[tuple[int, int]],
        mask: Bool[Tensor, "batch places"] | None = None,
    ) -> Float[Tensor, "batch places channels"]:
        """`references`: of `reference_points`. `mask`: True on real places; the others are read as zero."""
        seen = self.self_attention(places + positions, references, places, shapes, mask)
        places = self.self_attention_norm(places + self._drop(seen))
        return self.feedforward_norm(places + self._drop(self.feedforward(places)))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class DeformableEncoder(nn.Module):
    """Layers in which every place of every map reads a few places of all maps.

    `num_levels`: how many maps, at least 1; each has an embedding that is added to its sine positions. The other
    options are those of `DeformableEncoderLayer`. The maps' order is the order of the weights: Mask2Former's run coarse
    to fine, Deformable DETR's fine to coarse. `position_offset`: see `SinePositions`; 0.5 in Deformable DETR.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        num_levels: Count,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        num_points: Count = 4,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        position_offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.positions = SinePositions(channels, offset=position_offset)
        self.level_embedding = nn.Parameter(torch.empty(num_levels, channels))
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(
                channels,
                num_levels=num_levels,
                num_heads=num_heads,
                num_points=num_points,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                activation_dropout=activation_dropout,
                activation=activation,
            )
            for _ in range(num_layers)
        )
        nn.init.normal_(self.level_embedding)
        for layer in self.layers:
            for linear in (layer.feedforward.widen, layer.feedforward.narrow):  # type: ignore[union-attr]
                nn.init.xavier_uniform_(linear.weight)  # type: ignore[union-attr]

    def forward(
        self, maps: Sequence[Float[Tensor, "batch channels _ _"]], canvas: Canvas
    ) -> list[Float[Tensor, "batch channels _ _"]]:
        """Maps of the same shapes. Padding is not read where the canvas has a mask."""
        places, shapes = flatten_levels(maps)
        masks = [canvas.mask_at(height, width) for height, width in shapes]
        positions = [
            self.positions(one, mask).flatten(2).transpose(1, 2) + embedding
            for one, mask, embedding in zip(maps, masks, self.level_embedding, strict=True)
        ]
        real = [mask for mask in masks if mask is not None]
        mask = torch.cat([one.flatten(1) for one in real], dim=1) if real else None
        ratios = valid_ratios(real, places.dtype) if real else None
        references = reference_points(shapes, like=places, ratios=ratios)
        joined = torch.cat(positions, dim=1)
        for layer in self.layers:
            places = layer(places, positions=joined, references=references, shapes=shapes, mask=mask)
        return split_levels(places, shapes)
