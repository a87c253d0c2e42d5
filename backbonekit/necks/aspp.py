"""Atrous spatial pyramid pooling as a neck: convolutions of several dilation rates on the deepest level."""

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Dilation, Norm, Probability
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.atrous_pyramid import AtrousPyramid
from backbonekit.necks.levels import deepest_level, maps_with_deepest, required_with_deepest, with_deepest


class AtrousPyramidNeck(nn.Module):
    """Atrous spatial pyramid pooling on the deepest level; the others pass through.

    `channels`: width of the new deepest level and of each branch.
    `rates`: dilation of each 3x3 branch; a larger rate reads a larger region. 6, 12, 18 suit a map of stride 16; twice
    these suit stride 8.
    `norm`: after each convolution. `group` does not depend on the batch size.
    `separable`: depthwise separable branches, an order of magnitude cheaper.
    `dropout`: share of the result set to zero in training.

    Averages are taken over each image's own part of the canvas. Publishes the levels that it receives. With `batch` and
    one image in training the averaged branch has one value in each channel and uses the running statistics.

    Source: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3;
    torchvision/models/segmentation/deeplabv3.py: ASPP.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        rates: tuple[Dilation, ...] = (6, 12, 18),
        norm: Norm = "batch",
        separable: bool = False,
        dropout: Probability = 0.5,
    ) -> None:
        super().__init__()
        level = deepest_level(features, neck="aspp")
        self.pyramid = AtrousPyramid(
            level.channels, channels, rates=rates, norm=norm, separable=separable, dropout=dropout
        )
        self.features = with_deepest(features, channels)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """The levels required of the neck; the deepest level where no part requires any."""
        return required_with_deepest(wanted)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        deepest = maps.maps[-1]
        mask = canvas.mask_at(deepest.shape[-2], deepest.shape[-1])
        return maps_with_deepest(maps, self.pyramid(deepest, mask))
