"""Simple feature pyramid: all strides from the last map of a plain ViT."""

from dataclasses import replace

from torch import nn

from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm, Stride
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement
from backbonekit.errors import RecipeError
from backbonekit.layers.convolution_norm import ConvolutionNorm, map_norm


class SimpleFeaturePyramid(nn.Module):
    """Simple feature pyramid: each level is computed from the one map of a plain, single-stride backbone.

        map of stride 16 -- transposed convolution, norm, GELU, transposed convolution -- 1x1, 3x3 --> p2
                         -- transposed convolution --------------------------------------- 1x1, 3x3 --> p3
                         ----------------------------------------------------------------- 1x1, 3x3 --> p4
                         -- 2x2 max pooling ---------------------------------------------- 1x1, 3x3 --> p5

    `channels`: width of every published level.
    `strides`: one level in each of these octaves, ascending. Each published stride is that of the input map times a
    power of two, so 14-pixel patches become strides 3.5, 7, 14 and 28.
    `norm`: between transposed convolutions and after the 1x1 and 3x3 ones; the paper has layer norm.

    Reads only the deepest level. Pooling rounds sizes up, so that the last row and column of an odd map are read too.
    Publishes p2, p3, ... by octave; extras pass through.

    Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", 2022, section 3 and figure
    2; detectron2/modeling/backbone/vit.py: SimpleFeaturePyramid.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        strides: tuple[Stride, ...] = PYRAMID_STRIDES,
        norm: Norm = "layer",
    ) -> None:
        super().__init__()
        source = features.levels[-1]
        octaves = [octave(stride) for stride in strides]
        if not octaves or octaves != sorted(set(octaves)):
            raise RecipeError(
                f"simple_feature_pyramid: strides must be one or more, ascending, each at least twice the one before "
                f"(such as 4, 8, 16, 32); got {list(strides)}."
            )
        steps = [octave(source.stride) - target for target in octaves]
        self.features = replace(
            features,
            levels=tuple(
                Level(f"p{target}", channels, _tidy(source.stride / 2.0**step))
                for target, step in zip(octaves, steps, strict=True)
            ),
        )
        self.scale = nn.ModuleList(_scale(source.channels, step, norm) for step in steps)
        self.output = nn.ModuleList(
            nn.Sequential(
                ConvolutionNorm(_scaled_channels(source.channels, step), channels, kernel_size=1, norm=norm),
                ConvolutionNorm(channels, channels, kernel_size=3, norm=norm),
            )
            for step in steps
        )

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """The deepest map, whatever its stride."""
        return Requirement(last=1, extras=wanted.extras if wanted else ())

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        source = maps.maps[-1]
        levels = tuple(output(scale(source)) for scale, output in zip(self.scale, self.output, strict=True))
        return FeatureMaps(levels, extras=maps.extras)


def _scale(channels: int, step: int, norm: Norm) -> nn.Module:
    """From the source map to a level `step` octaves finer; a negative step is coarser."""
    if step == 0:
        return nn.Identity()
    if step < 0:
        return nn.MaxPool2d(2**-step, ceil_mode=True)
    layers: list[nn.Module] = []
    for done in range(step):
        narrower = _scaled_channels(channels, done + 1)
        if done:
            layers += [map_norm(norm, _scaled_channels(channels, done)), nn.GELU()]
        layers.append(nn.ConvTranspose2d(_scaled_channels(channels, done), narrower, kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _scaled_channels(channels: int, step: int) -> int:
    # Half as wide with each doubling of the size.
    return max(channels // 2 ** max(step, 0), 1)


def _tidy(stride: float) -> float | int:
    return int(stride) if stride == int(stride) else stride
