"""The multi-scale deformable encoder of Deformable DETR and of Mask2Former's pixel decoder.

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
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.layers.feedforward import Activation, FeedForward
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.ops.levels import flatten_levels, reference_points, split_levels, valid_ratios


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, each with a shortcut and a norm after it (post-norm).

    `num_levels`: the number of maps. `num_points`: the number of positions that each position samples from each map.
    The other options are those of `TransformerEncoderLayer`.
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
        tokens: Float[Tensor, "batch tokens channels"],
        *,
        positions: Float[Tensor, "#batch tokens channels"],
        references: Float[Tensor, "#batch tokens levels 2"],
        shapes: Sequence[tuple[int, int]],
        mask: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """`references`: of `reference_points`. `mask`: False in the padding, which is read as zero."""
        attended = self.self_attention(tokens + positions, references, tokens, shapes, mask)
        tokens = self.self_attention_norm(tokens + self._drop(attended))
        return self.feedforward_norm(tokens + self._drop(self.feedforward(tokens)))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class DeformableEncoder(nn.Module):
    """Layers of deformable self-attention over the positions of all maps.

    `num_levels`: the number of maps, at least 1; each has an embedding that is added to its sine positions. The other
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
        """Returns maps of the same shapes. Padding is not read where the canvas has a mask."""
        tokens, shapes = flatten_levels(maps)
        masks = [canvas.mask_at(height, width) for height, width in shapes]
        positions = [
            self.positions(one, mask).flatten(2).transpose(1, 2) + embedding
            for one, mask, embedding in zip(maps, masks, self.level_embedding, strict=True)
        ]
        present_masks = [mask for mask in masks if mask is not None]
        mask = torch.cat([one.flatten(1) for one in present_masks], dim=1) if present_masks else None
        ratios = valid_ratios(present_masks, tokens.dtype) if present_masks else None
        references = reference_points(shapes, like=tokens, ratios=ratios)
        joined = torch.cat(positions, dim=1)
        for layer in self.layers:
            tokens = layer(tokens, positions=joined, references=references, shapes=shapes, mask=mask)
        return split_levels(tokens, shapes)
