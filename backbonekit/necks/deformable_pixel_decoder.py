"""Mask2Former's pixel decoder: deformable attention over the coarse maps, per-pixel embeddings from the finest."""

from dataclasses import replace
from typing import Annotated

from torch import nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Count, Heads, Layers, Probability, Range
from backbonekit.contract.requirements import MASK_FEATURES, Requirement, choose_levels
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import GROUPS, ConvolutionNorm
from backbonekit.layers.deformable_attention import Points
from backbonekit.layers.deformable_encoder import DeformableEncoder
from backbonekit.ops.resize import resize_bilinear

COARSEST = 32

EncodedLevels = Annotated[int, Range(1, 6)]
MaskStride = Annotated[int, Range(1, 32)]


class DeformablePixelDecoder(nn.Module):
    """A deformable encoder over the coarse maps, and a feature pyramid from there to one fine map of mask features.

        c5 -- 1x1 --+--------------------+--> c5
        c4 -- 1x1 --+ deformable encoder +--> c4
        c3 -- 1x1 --+--------------------+--> c3
                                            | resized
        c2 -- 1x1 ------------------------- + -- 3x3, ReLU -- 1x1 --> mask_features

    Publishes the encoded levels under their own names, and the extra `mask_features`.
    `channels`: width of all levels, a multiple of 32 and of `num_heads`. `mask_channels`: width of the mask features.
    `num_encoded_levels`: how many of the coarsest levels the encoder reads: 3 are the strides 8, 16 and 32.
    `mask_stride`: of the mask features, the paper's common stride; every level from there to the encoded ones takes
    part.
    `num_deepest_levels`: 0 takes one level in each octave from `mask_stride` to 32; another number takes that many of
    the deepest levels, whatever their strides, and the mask features are as fine as the first of them.
    `num_layers`, `num_heads`, `num_points`, `feedforward_channels`: of the encoder; `num_points` is how many positions
    of each map one position reads.
    `dropout`: on each branch and inside the feed-forward.

    Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.2.1 and
    appendix; github.com/facebookresearch/Mask2Former, mask2former/modeling/pixel_decoder/msdeformattn.py.
    """

    @classmethod
    def needs(
        cls,
        wanted: Requirement | None,
        *,
        num_encoded_levels: EncodedLevels = 3,
        mask_stride: MaskStride = 4,
        num_deepest_levels: Count = 0,
    ) -> Requirement:
        own = (
            Requirement(last=num_deepest_levels)
            if num_deepest_levels
            else Requirement(strides=_strides(num_encoded_levels, mask_stride))
        )
        extras = () if wanted is None else tuple(name for name in wanted.extras if name != MASK_FEATURES)
        return own.union(Requirement(extras=extras))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        mask_channels: Channels = 256,
        num_encoded_levels: EncodedLevels = 3,
        mask_stride: MaskStride = 4,
        num_deepest_levels: Count = 0,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        num_points: Points = 4,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if channels % GROUPS:
            fix = max(GROUPS, round(channels / GROUPS) * GROUPS)
            raise ContractError(
                f"neck deformable_pixel_decoder: channels={channels} is no multiple of {GROUPS}, the groups of its "
                f"norms; {fix} is the nearest that is."
            )
        self.positions = _positions(features, num_encoded_levels, mask_stride, num_deepest_levels)
        self.num_encoded_levels = num_encoded_levels
        levels = [features.levels[position] for position in self.positions]
        # Coarse to fine, as the paper's encoder counts its levels: the order is in the weights of its attention.
        self.projections = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm="group", bias=True)
            for level in reversed(levels[-num_encoded_levels:])
        )
        self.encoder = DeformableEncoder(
            channels,
            num_levels=num_encoded_levels,
            num_layers=num_layers,
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
            activation_dropout=dropout,
        )
        # Fine to coarse, like the levels they belong to; run in reverse.
        self.laterals = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm="group")
            for level in levels[:-num_encoded_levels]
        )
        self.outputs = nn.ModuleList(
            ConvolutionNorm(channels, channels, kernel_size=3, norm="group") for _ in levels[:-num_encoded_levels]
        )
        self.mask_projection = nn.Conv2d(channels, mask_channels, kernel_size=1)
        self.features = FeaturePyramid(
            tuple(replace(level, channels=channels, prefix_tokens=0) for level in levels[-num_encoded_levels:]),
            {**features.extras, MASK_FEATURES: Level(MASK_FEATURES, mask_channels, levels[0].stride)},
        )
        self._initialise()

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        """Norms see the padding: a larger canvas changes the result a little, batch-mates on the same canvas do not."""
        levels = [maps.maps[position] for position in self.positions]
        coarse = [
            project(level)
            for project, level in zip(self.projections, reversed(levels[-self.num_encoded_levels :]), strict=True)
        ]
        coarse = self.encoder(coarse, canvas)
        finest = coarse[-1]
        for level, lateral, output in zip(
            reversed(levels[: -self.num_encoded_levels]), reversed(self.laterals), reversed(self.outputs), strict=True
        ):
            left = lateral(level)
            finest = output(left + resize_bilinear(finest, (left.shape[-2], left.shape[-1]))).relu_()
        extras = {**maps.extras, MASK_FEATURES: self.mask_projection(finest)}
        return FeatureMaps(tuple(reversed(coarse)), extras=extras)

    def _initialise(self) -> None:
        """As the paper's code: Xavier on what enters the encoder, He on the pyramid; the encoder initialises itself."""
        for projection in self.projections:
            nn.init.xavier_uniform_(projection.convolution.weight)  # type: ignore[union-attr,arg-type]
            nn.init.zeros_(projection.convolution.bias)  # type: ignore[union-attr,arg-type]
        for layer in (*self.laterals, *self.outputs):
            nn.init.kaiming_uniform_(layer.convolution.weight, a=1)  # type: ignore[union-attr,arg-type]
        nn.init.kaiming_uniform_(self.mask_projection.weight, a=1)
        nn.init.zeros_(self.mask_projection.bias)  # type: ignore[arg-type]


def _strides(num_encoded_levels: int, mask_stride: int) -> tuple[int, ...]:
    """One for each octave from the mask features to the coarsest level."""
    first = min(mask_stride, COARSEST >> (num_encoded_levels - 1))
    return tuple(stride for stride in (1 << power for power in range(COARSEST.bit_length())) if stride >= first)


def _positions(
    features: FeaturePyramid, num_encoded_levels: int, mask_stride: int, num_deepest_levels: int
) -> tuple[int, ...]:
    if 0 < num_deepest_levels < num_encoded_levels:
        raise ContractError(
            f"neck deformable_pixel_decoder: num_deepest_levels={num_deepest_levels}; it encodes {num_encoded_levels} "
            f"levels, so it requires at least that many."
        )
    finest_encoded = COARSEST >> (num_encoded_levels - 1)
    if not num_deepest_levels and (mask_stride not in (1, 2, 4, 8, 16, 32) or mask_stride > finest_encoded):
        raise ContractError(
            f"neck deformable_pixel_decoder: mask_stride={mask_stride}; with num_encoded_levels={num_encoded_levels} "
            f"the finest level that is encoded has stride {finest_encoded}, and the mask features are that fine or "
            f"finer by powers of two."
        )
    strides = _strides(num_encoded_levels, mask_stride)
    return choose_levels(features, strides, num_deepest_levels, part="neck deformable_pixel_decoder")
