"""ViTPose's decoders: one heatmap for each keypoint, from the deepest map of a transformer."""

from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Range
from backbonekit.contract.predictions import Heatmaps, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.ops.resize import resize_bilinear


class ViTPoseHead(nn.Module):
    """Heatmaps of the keypoints of one person; the image is a crop around this person.

    `num_classes`: the number of keypoints; their names are the model's labels.
    `decoder`: "simple": ReLU, bilinear resizing, a 3x3 convolution; "classic": two transposed convolutions with batch
    norm and ReLU, a 1x1 convolution.
    `scale`: upsampling factor of the simple decoder; that of the classic decoder is 4.
    `channels`: width of the classic decoder.

    Heatmaps of an image of 256 x 192 over 16-pixel patches are 64 x 48.

    Source: Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation" (2022), section 3.1;
    github.com/ViTAE-Transformer/ViTPose, mmpose/models/heads/topdown_heatmap_simple_head.py;
    transformers/models/vitpose/modeling_vitpose.py.
    """

    criterion: ClassVar[str | None] = "heatmap"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        decoder: Literal["simple", "classic"] = "simple",
        scale: Annotated[int, Range(1, 32)] = 4,
        channels: Channels = 256,
    ) -> None:
        super().__init__()
        if not features.levels:
            raise ContractError("head vitpose requires one level, it receives none.")
        width = features.levels[-1].channels
        self.decoder = SimpleDecoder(width, num_classes, scale)
        if decoder == "classic":
            self.decoder = ClassicDecoder(width, num_classes, channels)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """The deepest map."""
        return Requirement(last=1)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> Heatmaps:
        return Heatmaps(self.decoder(maps.maps[-1]))


class SimpleDecoder(nn.Module):
    """ReLU, bilinear resizing by `scale`, one convolution."""

    def __init__(self, in_channels: int, num_keypoints: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.keypoints = nn.Conv2d(in_channels, num_keypoints, 3, padding=1)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch keypoints fine_height fine_width"]:
        size = (self.scale * maps.shape[-2], self.scale * maps.shape[-1])
        return self.keypoints(resize_bilinear(maps.relu(), size))


class ClassicDecoder(nn.Module):
    """Two transposed convolutions, each of which doubles the size, and a projection."""

    def __init__(self, in_channels: int, num_keypoints: int, channels: int) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(in_channels, channels, 4, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.keypoints = nn.Conv2d(channels, num_keypoints, 1)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch keypoints fine_height fine_width"]:
        maps = self.first_norm(self.first(maps)).relu_()
        return self.keypoints(self.second_norm(self.second(maps)).relu_())
