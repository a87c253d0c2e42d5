"""One layer of a deformable decoder: self-attention among queries, deformable cross-attention, feed-forward.

Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), section 4.2;
github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py; Lv et al., "RT-DETRv2" (2024).
"""

from collections.abc import Sequence
from typing import Annotated

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.layers.attention import MultiHeadAttention
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.layers.feedforward import Activation, FeedForward

DecoderLayers = Annotated[int, Range(1, 200)]  # the number of layers of such a decoder


class DeformableDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and feed-forward, each with a shortcut and a norm after it.

    Positions are added to queries and keys, never to values.
    `cross_attention`: from queries to the feature maps. `num_heads`: of self-attention. `feedforward_channels`: hidden
    width. `dropout`: on each of the three branches. `attention_dropout`: on the weights of self-attention.
    `activation_dropout`: inside the feed-forward.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        cross_attention: DeformableAttention,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(channels, num_heads=num_heads, dropout=attention_dropout)
        self.self_attention_norm = nn.LayerNorm(channels)
        self.cross_attention = cross_attention
        self.cross_attention_norm = nn.LayerNorm(channels)
        self.feedforward = FeedForward(
            channels, hidden_channels=feedforward_channels, dropout=activation_dropout, activation=activation
        )
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = dropout

    def forward(
        self,
        queries: Float[Tensor, "batch queries channels"],
        memory: Float[Tensor, "batch positions channels"],
        *,
        positions: Float[Tensor, "#batch queries channels"],
        references: Float[Tensor, "#batch queries #levels coordinates"],
        shapes: Sequence[tuple[int, int]],
        memory_mask: Bool[Tensor, "batch positions"] | None = None,
        query_mask: Bool[Tensor, "#batch #heads queries queries"] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        """`references`, `shapes`, `memory_mask`: of `DeformableAttention`. `query_mask`: True where a query may
        attend to another."""
        with_positions = queries + positions
        attended = self.self_attention(with_positions, with_positions, queries, query_mask)
        queries = self.self_attention_norm(queries + self._drop(attended))
        attended = self.cross_attention(queries + positions, references, memory, shapes, memory_mask)
        queries = self.cross_attention_norm(queries + self._drop(attended))
        return self.feedforward_norm(queries + self._drop(self.feedforward(queries)))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)
