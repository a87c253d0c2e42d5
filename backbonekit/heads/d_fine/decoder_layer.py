"""Layers of D-FINE's decoder: a decoder layer with a gate after cross-attention, and an estimate of box quality.

Source: Peng et al., "D-FINE" (2024), section 4 and appendix; Li et al., "Generalized Focal Loss V2" (2021), section
3.2, for the quality estimate; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_decoder.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Layers, Probability
from backbonekit.layers.attention import MultiHeadAttention
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.layers.feedforward import MLP, Activation, FeedForward

LARGEST = 65_504.0  # of float16: a sum beyond it would be infinite there


class Gate(nn.Module):
    """A weighted sum of two inputs, with a predicted weight for each channel, then layer norm. Weights start at 0.5."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.weights = nn.Linear(2 * channels, 2 * channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(
        self, queries: Float[Tensor, "batch queries channels"], attended: Float[Tensor, "batch queries channels"]
    ) -> Float[Tensor, "batch queries channels"]:
        weights = self.weights(torch.cat((queries, attended), dim=-1)).sigmoid()
        query_weights, attended_weights = weights.chunk(2, dim=-1)
        return self.norm(query_weights * queries + attended_weights * attended)


class GatedDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention with a gate instead of a residual sum, then a feed-forward network.

    Options and arguments are those of `DeformableDecoderLayer`.
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
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(channels, num_heads=num_heads, dropout=attention_dropout)
        self.self_attention_norm = nn.LayerNorm(channels)
        self.cross_attention = cross_attention
        self.gate = Gate(channels)
        self.feedforward = FeedForward(channels, hidden_channels=feedforward_channels, activation=activation)
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
        positioned = queries + positions
        attended = self.self_attention(positioned, positioned, queries, query_mask)
        queries = self.self_attention_norm(queries + self._drop(attended))
        attended = self.cross_attention(queries + positions, references, memory, shapes, memory_mask)
        queries = self.gate(queries, self._drop(attended))
        return self.feedforward_norm((queries + self.feedforward(queries)).clamp(-LARGEST, LARGEST))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class LocationQuality(nn.Module):
    """Quality of a box, estimated from the distributions of its edges; it is added to all class logits of a query.

    `top`: how many of the likeliest bins of each edge are read, with their mean. `hidden_channels`, `num_layers`: of
    the network.
    """

    def __init__(self, *, top: int, hidden_channels: Channels, num_layers: Layers) -> None:
        super().__init__()
        self.top = top
        self.judge = MLP(4 * (top + 1), hidden_channels=hidden_channels, out_channels=1, num_layers=num_layers)
        nn.init.zeros_(self.judge.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.judge.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, edge_logits: Float[Tensor, "batch queries 4 bins"]) -> Float[Tensor, "batch queries 1"]:
        likeliest = edge_logits.softmax(-1).topk(self.top, dim=-1).values
        return self.judge(torch.cat((likeliest, likeliest.mean(-1, keepdim=True)), dim=-1).flatten(2))
