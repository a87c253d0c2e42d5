"""The pieces of D-FINE's decoder: a layer that weighs what it sees against what it knew, and a judge of its boxes.

Source: Peng et al., "D-FINE" (2024), section 4 and appendix; Li et al., "Generalized Focal Loss V2" (2021), section
3.2, for the judge; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_decoder.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Layers, Probability
from backbonekit.layers.activation import Activation
from backbonekit.layers.attention import MultiHeadAttention
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.layers.feedforward import FeedForward
from backbonekit.layers.mlp import MLP

LARGEST = 65_504.0  # of float16: a sum beyond it would be infinite there


class Gate(nn.Module):
    """Two things weighed against each other channel by channel, added, and normed. At first both count half."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.weights = nn.Linear(2 * channels, 2 * channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(
        self, known: Float[Tensor, "batch queries channels"], seen: Float[Tensor, "batch queries channels"]
    ) -> Float[Tensor, "batch queries channels"]:
        of_known, of_seen = self.weights(torch.cat((known, seen), dim=-1)).sigmoid().chunk(2, dim=-1)
        return self.norm(of_known * known + of_seen * seen)


class GatedDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention behind a gate in place of a shortcut, and feed-forward.

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
        memory: Float[Tensor, "batch places channels"],
        *,
        positions: Float[Tensor, "#batch queries channels"],
        references: Float[Tensor, "#batch queries #levels coordinates"],
        shapes: Sequence[tuple[int, int]],
        memory_mask: Bool[Tensor, "batch places"] | None = None,
        query_mask: Bool[Tensor, "#batch #heads queries queries"] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        asking = queries + positions
        seen = self.self_attention(asking, asking, queries, query_mask)
        queries = self.self_attention_norm(queries + self._drop(seen))
        seen = self.cross_attention(queries + positions, references, memory, shapes, memory_mask)
        queries = self.gate(queries, self._drop(seen))
        return self.feedforward_norm((queries + self.feedforward(queries)).clamp(-LARGEST, LARGEST))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class LocationQuality(nn.Module):
    """How sure a box is of its edges, from the shape of their distributions: added to all class logits of a query.

    `top`: how many of each edge's likeliest bins are looked at, with their mean. `hidden_channels`, `num_layers`: of
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
