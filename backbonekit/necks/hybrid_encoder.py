"""RT-DETR's encoder: self-attention on the coarsest level only, convolutions between the levels."""

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Count, Heads, Layers, Probability, Range
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.layers.attention import keys_to_look_at
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.layers.feedforward import Activation
from backbonekit.layers.transformer_encoder_layer import TransformerEncoderLayer
from backbonekit.necks.rep_blocks import ActiveConvolution, Fusion, SeparableDownsample, fusion_block
from backbonekit.ops.resize import resize_nearest
from backbonekit.ops.unscaled_sine_positions import unscaled_sine_positions

COARSEST = 32

EncodedLevels = Annotated[int, Range(1, 6)]
Expansion = Annotated[float, Range(0.01, 16.0)]
Temperature = Annotated[float, Range(1.0, 1e9)]


class HybridEncoder(nn.Module):
    """A transformer on the coarsest level, a top-down pyramid, then a bottom-up one.

        c5 -- 1x1 -- attention -- 1x1 -----+------------------------> fuse --> p5
                                           | resized                  ^ halved
        c4 -- 1x1 --------------------> fuse -- 1x1 -----+--------> fuse --> p4
                                                         | resized    ^ halved
        c3 -- 1x1 ---------------------------------> fuse -----------+-----> p3

    Publishes the levels under the names they came with, all of width `channels`.
    `channels`: a multiple of 4 and of `num_heads`. `num_levels`: how many, the coarsest of stride 32; 3 are 8, 16 and
    32.
    `num_layers`: of the transformer; 0 for none. `num_heads`, `feedforward_channels`: of it. `dropout`: on each of its
    branches and on attention weights. `activation_dropout`: inside its feed-forward. `activation`: inside its
    feed-forward.
    `temperature`: of its positions. `fusion`: the block that merges two levels, `csp` as in RT-DETR or `elan` as in
    D-FINE, which also halves maps more cheaply. `expansion`: width inside a fusion block, relative to `channels`.
    `num_blocks`: how deep it is. `fusion_activation`: inside it.

    Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (2024), section 4.2;
    github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/hybrid_encoder.py; Peng et al., "D-FINE" (2024),
    appendix; github.com/Peterande/D-FINE, src/zoo/dfine/hybrid_encoder.py.
    """

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_levels: EncodedLevels = 3) -> Requirement:
        extras = () if wanted is None else wanted.extras
        return Requirement(strides=_strides(num_levels), extras=extras)

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        num_levels: EncodedLevels = 3,
        num_layers: Layers = 1,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "gelu",
        temperature: Temperature = 10_000.0,
        fusion: Fusion = "csp",
        expansion: Expansion = 1.0,
        num_blocks: Count = 3,
        fusion_activation: Activation = "silu",
    ) -> None:
        super().__init__()
        if channels % 4:
            raise ContractError(
                f"neck hybrid_encoder: channels={channels}; its positions require a multiple of 4, and "
                f"{max(4, round(channels / 4) * 4)} is the nearest."
            )
        self.positions = _positions(features, num_levels)
        taken = [features.levels[position] for position in self.positions]
        self.projections = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm="batch") for level in taken
        )
        self.temperature = temperature
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(
                channels,
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                attention_dropout=dropout,
                activation_dropout=activation_dropout,
                activation=activation,
            )
            for _ in range(num_layers)
        )

        def fuse() -> nn.Module:
            return fusion_block(
                fusion, channels, expansion=expansion, num_blocks=num_blocks, activation=fusion_activation
            )

        def lateral() -> nn.Module:
            if fusion == "elan":
                return ConvolutionNorm(channels, channels, kernel_size=1, norm="batch")
            return ActiveConvolution(channels, channels, kernel_size=1, stride=1, activation=fusion_activation)

        def halve() -> nn.Module:
            if fusion == "elan":
                return SeparableDownsample(channels)
            return ActiveConvolution(channels, channels, kernel_size=3, stride=2, activation=fusion_activation)

        steps = range(num_levels - 1)
        # In the order they run: coarse to fine on the way down, fine to coarse on the way up.
        self.laterals = nn.ModuleList(lateral() for _ in steps)
        self.top_down = nn.ModuleList(fuse() for _ in steps)
        self.downsamples = nn.ModuleList(halve() for _ in steps)
        self.bottom_up = nn.ModuleList(fuse() for _ in steps)
        self.features = FeaturePyramid(
            tuple(replace(level, channels=channels, prefix_tokens=0) for level in taken), features.extras
        )

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        """Attention does not read padding where the canvas has a mask; convolutions do."""
        levels = [
            project(maps.maps[position]) for project, position in zip(self.projections, self.positions, strict=True)
        ]
        coarsest = self._attend(levels[-1], canvas)
        down: list[Tensor] = []  # coarse to fine
        for lateral, fuse, level in zip(self.laterals, self.top_down, reversed(levels[:-1]), strict=True):
            above = lateral(coarsest)
            down.append(above)
            coarsest = fuse(torch.cat((_as_large_as(level, above), level), dim=1))
        up = [coarsest]  # fine to coarse
        for halve, fuse, level in zip(self.downsamples, self.bottom_up, reversed(down), strict=True):
            up.append(fuse(torch.cat((_as_large_as(level, halve(up[-1])), level), dim=1)))
        return FeatureMaps(tuple(up), extras=maps.extras)

    def _attend(self, level: Tensor, canvas: Canvas) -> Tensor:
        if not self.layers:
            return level
        height, width = level.shape[-2:]
        mask = keys_to_look_at(canvas.mask_at(height, width))
        positions = unscaled_sine_positions(level, temperature=self.temperature)
        sequence = level.flatten(2).transpose(1, 2)
        for layer in self.layers:
            sequence = layer(sequence, positions=positions, mask=mask)
        return sequence.transpose(1, 2).unflatten(2, (height, width))


def _as_large_as(level: Tensor, other: Tensor) -> Tensor:
    """The other map, resized to the grid of `level`. The reference always resizes by 2: the same for even sizes."""
    size = (level.shape[-2], level.shape[-1])
    return other if other.shape[-2:] == size else resize_nearest(other, size)


def _strides(num_levels: int) -> tuple[int, ...]:
    return tuple(COARSEST >> power for power in reversed(range(num_levels)))


def _positions(features: FeaturePyramid, num_levels: int) -> tuple[int, ...]:
    required = _strides(num_levels)
    found = {stride: features.index_at(stride) for stride in required}
    missing = [stride for stride, position in found.items() if position is None]
    if missing:
        given = ", ".join(f"{stride:g}" for stride in features.strides) or "none"
        raise ContractError(
            f"neck hybrid_encoder: num_levels={num_levels} requires strides {', '.join(map(str, required))}; "
            f"it receives strides {given}, so {', '.join(map(str, missing))} is missing. The fix: "
            f"backbone.out_indices=auto."
        )
    return tuple(position for position in found.values() if position is not None)
