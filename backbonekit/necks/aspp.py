"""Atrous spatial pyramid pooling as a neck: the deepest level seen at several distances."""

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Dilation, Norm, Probability
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.atrous_pyramid import AtrousPyramid
from backbonekit.necks.deepest_level import deepest_level, maps_with_deepest, required_with_deepest, with_deepest


class AtrousPyramidNeck(nn.Module):
    """Atrous spatial pyramid pooling on the deepest level; the others pass through.

    `channels`: width of the new deepest level and of each branch.
    `rates`: dilation of each 3x3 branch; larger sees further. 6, 12, 18 suit a map of stride 16; twice these stride 8.
    `norm`: after each convolution. With `group` batches of one image train as larger ones do.
    `separable`: depthwise separable branches, an order of magnitude cheaper.
    `dropout`: share of the result set to zero in training.

    The average of an image is that of its own part of the canvas. Publishes the levels that it receives. With `batch`
    and one image in training the averaged branch has one value a channel and takes the running statistics.

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
        """What is wanted of it; the deepest level when nobody asks."""
        return required_with_deepest(wanted)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        deepest = maps.maps[-1]
        mask = canvas.mask_at(deepest.shape[-2], deepest.shape[-1])
        return maps_with_deepest(maps, self.pyramid(deepest, mask))
