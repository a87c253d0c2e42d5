"""The convolutions of a dense detector, whose weights are shared by all levels.

Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4; Tian et al., "FCOS" (2019), section 3.2.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Layers, Norm
from backbonekit.layers.convolution_norm import ConvolutionNorm


class PredictionTower(nn.Module):
    """3x3 convolutions of one width, each with norm and ReLU; shared by all levels.

    `num_convolutions`: the number of convolutions. `norm`: after each; the convolutions have a bias also where a norm
    follows, as in the references.
    """

    def __init__(self, channels: Channels, *, num_convolutions: Layers = 4, norm: Norm = "none") -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            ConvolutionNorm(channels, channels, kernel_size=3, norm=norm, bias=True) for _ in range(num_convolutions)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(
        self, maps: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        for convolution in self.convolutions:
            maps = convolution(maps).relu_()
        return maps


def predictor(channels: int, out_channels: int, *, bias: float = 0.0) -> nn.Conv2d:
    """The 3x3 convolution at the end of a tower. `bias`: the initial bias, which is its output before
    training."""
    convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
    nn.init.normal_(convolution.weight, std=0.01)
    nn.init.constant_(convolution.bias, bias)  # type: ignore[arg-type]
    return convolution


def by_position(
    maps: Float[Tensor, "batch channels height width"], values: int
) -> Float[Tensor, "batch positions values"]:
    """A predictor's map, flattened by row, column, then anchor; `values`: the number of values of each anchor."""
    # [batch, anchors x values, height, width] -> [batch, height, width, anchors, values]
    return maps.unflatten(1, (-1, values)).permute(0, 3, 4, 1, 2).flatten(1, 3)


def logit(probability: float) -> float:
    """The logit whose sigmoid is the given probability; finite also for 0 and 1."""
    kept = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(kept / (1 - kept))
