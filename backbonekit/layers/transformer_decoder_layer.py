"""One layer of a transformer decoder: self-attention, cross-attention to the image, feed-forward.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), appendix A.3;
github.com/facebookresearch/detr, models/transformer.py.
"""

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Probability
from backbonekit.layers.attention import MultiHeadAttention
from backbonekit.layers.feedforward import Activation, FeedForward


class TransformerDecoderLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each with a shortcut and a norm after it (post-norm).

    `cross_first`: cross-attention before self-attention, as in Mask2Former, whose queries hold no information about the
    image before it.
    Positions are added to queries and keys, never to values.
    `num_heads`: of both attentions. `feedforward_channels`: hidden width. `dropout`: on each of the three branches.
    `attention_dropout`: on the attention weights. `activation_dropout`: inside the feed-forward.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 2048,
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        cross_first: bool = False,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(channels, num_heads=num_heads, dropout=attention_dropout)
        self.self_attention_norm = nn.LayerNorm(channels)
        self.cross_attention = MultiHeadAttention(channels, num_heads=num_heads, dropout=attention_dropout)
        self.cross_attention_norm = nn.LayerNorm(channels)
        self.feedforward = FeedForward(
            channels, hidden_channels=feedforward_channels, dropout=activation_dropout, activation=activation
        )
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = dropout
        self.cross_first = cross_first

    def forward(
        self,
        queries: Float[Tensor, "batch queries channels"],
        memory: Float[Tensor, "batch positions channels"],
        *,
        query_positions: Float[Tensor, "#batch #queries channels"],
        memory_positions: Float[Tensor, "#batch #positions channels"],
        memory_mask: Bool[Tensor, "batch #heads #queries positions"] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        """`memory`: the flattened feature map. `memory_mask`: True where a query may attend."""
        keys = memory + memory_positions
        if self.cross_first:
            queries = self._attend_to_memory(queries, query_positions, keys, memory, memory_mask)
            queries = self._attend_to_queries(queries, query_positions)
        else:
            queries = self._attend_to_queries(queries, query_positions)
            queries = self._attend_to_memory(queries, query_positions, keys, memory, memory_mask)
        return self.feedforward_norm(queries + self._drop(self.feedforward(queries)))

    def _attend_to_queries(self, queries: Tensor, positions: Tensor) -> Tensor:
        with_positions = queries + positions
        return self.self_attention_norm(
            queries + self._drop(self.self_attention(with_positions, with_positions, queries))
        )

    def _attend_to_memory(
        self, queries: Tensor, positions: Tensor, keys: Tensor, memory: Tensor, mask: Tensor | None
    ) -> Tensor:
        attended = self.cross_attention(queries + positions, keys, memory, mask)
        return self.cross_attention_norm(queries + self._drop(attended))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)
