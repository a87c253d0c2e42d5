"""One layer of a transformer encoder: self-attention over all positions, then a feed-forward network.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), appendix A.3;
github.com/facebookresearch/detr, models/transformer.py.
"""

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Probability
from backbonekit.layers.attention import MultiHeadAttention
from backbonekit.layers.feedforward import Activation, FeedForward


class TransformerEncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a shortcut and a norm after it (post-norm).

    Positions are added to queries and keys, never to values.
    `num_heads`: of the attention. `feedforward_channels`: hidden width. `dropout`: on both branches.
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
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(channels, num_heads=num_heads, dropout=attention_dropout)
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
        positions: Float[Tensor, "#batch #tokens channels"],
        mask: Bool[Tensor, "batch #heads #tokens tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """`mask`: True where a token may attend to another."""
        with_positions = tokens + positions
        attended = self.self_attention(with_positions, with_positions, tokens, mask)
        tokens = self.self_attention_norm(tokens + self._drop(attended))
        return self.feedforward_norm(tokens + self._drop(self.feedforward(tokens)))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)
