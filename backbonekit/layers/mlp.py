"""The multilayer perceptron on top of queries: DETR's box head, MaskFormer's mask embedder."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Layers


class MLP(nn.Module):
    """Linear layers with ReLU between them, none after the last.

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
