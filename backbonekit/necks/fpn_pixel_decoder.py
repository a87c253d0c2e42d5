"""MaskFormer's pixel decoder: a feature pyramid merged into one fine map of per-pixel embeddings."""

import torch.nn.functional as functional
from torch import nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Count
from backbonekit.contract.requirements import MASK_FEATURES, PYRAMID_STRIDES, Requirement, choose_levels
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import GROUPS, ConvolutionNorm


class FPNPixelDecoder(nn.Module):
    """A feature pyramid network, coarse to fine, whose finest map is projected to mask features.

    Passes the incoming levels on as they are and adds the extra `mask_features`, at the finest level's stride.
    `channels`: width of the pyramid, a multiple of 32. `mask_channels`: width of the mask features.
    `num_deepest_levels`: 0 takes one level at each of strides 4, 8, 16 and 32; another number takes that many of the
    deepest levels, whatever their strides (a backbone cut to three stages, a plain ViT's blocks).

    Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.4;
    github.com/facebookresearch/MaskFormer, mask_former/modeling/heads/pixel_decoder.py, BasePixelDecoder.
    """

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_deepest_levels: Count = 0) -> Requirement:
        own = Requirement(last=num_deepest_levels) if num_deepest_levels else Requirement(strides=PYRAMID_STRIDES)
        if wanted is None:
            return own
        extras = tuple(name for name in wanted.extras if name != MASK_FEATURES)
        return own.union(Requirement(strides=wanted.strides, last=wanted.last, extras=extras))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        mask_channels: Channels = 256,
        num_deepest_levels: Count = 0,
    ) -> None:
        super().__init__()
        if channels % GROUPS:
            fix = max(GROUPS, round(channels / GROUPS) * GROUPS)
            raise ContractError(
                f"neck fpn_pixel_decoder: channels={channels} is no multiple of {GROUPS}, the groups of its norms; "
                f"{fix} is the nearest that is."
            )
        self.positions = _positions(features, num_deepest_levels)
        levels = [features.levels[position] for position in self.positions]
        self.stem = _convolution(levels[-1].channels, channels, 3)
        # Fine to coarse, like the levels they belong to; run in reverse.
        self.laterals = nn.ModuleList(_convolution(level.channels, channels, 1) for level in levels[:-1])
        self.outputs = nn.ModuleList(_convolution(channels, channels, 3) for _ in levels[:-1])
        self.mask_projection = nn.Conv2d(channels, mask_channels, kernel_size=3, padding=1)
        nn.init.kaiming_uniform_(self.mask_projection.weight, a=1)
        nn.init.zeros_(self.mask_projection.bias)  # type: ignore[arg-type]
        mask_features = Level(MASK_FEATURES, mask_channels, levels[0].stride)
        self.features = FeaturePyramid(features.levels, {**features.extras, MASK_FEATURES: mask_features})

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        """Norms see the padding: a larger canvas changes the result a little, batch-mates on the same canvas do not."""
        levels = [maps.maps[position] for position in self.positions]
        top_down = self.stem(levels[-1]).relu_()
        for level, lateral, output in zip(
            reversed(levels[:-1]), reversed(self.laterals), reversed(self.outputs), strict=True
        ):
            left = lateral(level)
            top_down = left + functional.interpolate(top_down, size=left.shape[-2:], mode="nearest")
            top_down = output(top_down).relu_()
        return FeatureMaps(
            maps=maps.maps,
            extras={**maps.extras, MASK_FEATURES: self.mask_projection(top_down)},
            prefix_tokens=maps.prefix_tokens,
        )


def _convolution(channels: int, out_channels: int, kernel_size: int) -> ConvolutionNorm:
    layer = ConvolutionNorm(channels, out_channels, kernel_size=kernel_size, norm="group")
    nn.init.kaiming_uniform_(layer.convolution.weight, a=1)
    return layer


def _positions(features: FeaturePyramid, num_deepest_levels: int) -> tuple[int, ...]:
    if num_deepest_levels == 1:
        raise ContractError(
            "neck fpn_pixel_decoder: num_deepest_levels=1; it adds each level to the next coarser one, so it requires "
            "at least 2."
        )
    return choose_levels(features, PYRAMID_STRIDES, num_deepest_levels, part="neck fpn_pixel_decoder")
