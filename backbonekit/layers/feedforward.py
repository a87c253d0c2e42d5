"""Networks that are applied to each token: the feed-forward network of a transformer layer, and the perceptron.

Their activation functions have the names that recipes use.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Layers, Probability

Activation = Literal["relu", "gelu", "silu"]

# They may overwrite their input.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu_,  # in place
    "gelu": functional.gelu,  # the exact one, by the error function
    "silu": functional.silu,
}


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each token.

    `hidden_channels`: hidden width. `dropout`: after the activation, in training only. `activation`: its name.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.3.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        hidden_channels: Channels,
        dropout: Probability = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, hidden_channels)
        self.narrow = nn.Linear(hidden_channels, channels)
        self.dropout = dropout
        self.activation = ACTIVATIONS[activation]

    def forward(self, tokens: Float[Tensor, "*batch tokens channels"]) -> Float[Tensor, "*batch tokens channels"]:
        hidden = self.activation(self.widen(tokens))
        return self.narrow(functional.dropout(hidden, self.dropout, self.training))


class MLP(nn.Module):
    """Linear layers with ReLU between them, none after the last: DETR's box head, MaskFormer's mask embedder.

    `hidden_channels`: width of all layers but the last. `num_layers`: the number of layers, at least 1.

    Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.2;
    github.com/facebookresearch/detr, models/detr.py.
    """

    def __init__(
        self, channels: Channels, *, hidden_channels: Channels, out_channels: Channels, num_layers: Layers = 3
    ) -> None:
        super().__init__()
        widths = (channels, *[hidden_channels] * (num_layers - 1), out_channels)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, tokens: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch out_channels"]:
        for layer in self.layers[:-1]:
            tokens = layer(tokens).relu_()
        return self.layers[-1](tokens)
