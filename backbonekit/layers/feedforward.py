"""The position-wise feed-forward network of a transformer layer.

Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.3.
"""

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Probability
from backbonekit.layers.activation import ACTIVATIONS, Activation


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each token.

    `hidden_channels`: hidden width. `dropout`: after the activation, in training only. `activation`: its name.
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
