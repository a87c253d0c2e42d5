"""Deformable DETR's encoder as a neck: multi-scale deformable attention over several maps of one width."""

from dataclasses import replace

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Heads, Layers, Probability
from backbonekit.contract.requirements import Requirement, one_width
from backbonekit.layers.deformable_attention import Points
from backbonekit.layers.deformable_encoder import DeformableEncoder
from backbonekit.layers.feedforward import Activation

STRIDES = (8, 16, 32)  # required of the backbone where no part requires any level


class DeformableEncoderNeck(nn.Module):
    """Deformable attention layers: each position reads a few learned positions of every map.

    Padding is not read. All levels must have one width, as from channel_mapper. Publishes the same levels, encoded.
    `num_layers`, `num_heads`, `feedforward_channels`: depth, attention heads and hidden width. `num_points`: how many
    positions of each map one position reads. `dropout`: on each branch of a layer; `activation_dropout`: inside the
    feed-forward. `activation`: the function inside the feed-forward.

    Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), section 4.2;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py.
    """

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(strides=STRIDES) if wanted is None else wanted

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        num_points: Points = 4,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.1,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.encoder = DeformableEncoder(
            one_width(features.levels, part="neck deformable_encoder", fix="channel_mapper before it"),
            num_levels=len(features.levels),
            num_layers=num_layers,
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
            activation_dropout=activation_dropout,
            activation=activation,
            position_offset=0.5,
        )
        levels = tuple(replace(level, prefix_tokens=0) for level in features.levels)
        self.features = FeaturePyramid(levels, features.extras)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        return FeatureMaps(tuple(self.encoder(maps.maps, canvas)), maps.extras)
