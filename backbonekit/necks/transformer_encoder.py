"""DETR's encoder as a neck: self-attention over all positions of the deepest map."""

from dataclasses import replace

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Heads, Layers, Probability
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.attention import keys_to_look_at
from backbonekit.layers.feedforward import Activation
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.layers.transformer_encoder_layer import TransformerEncoderLayer


class TransformerEncoder(nn.Module):
    """A 1x1 convolution to the encoder's width and self-attention layers over the deepest map, with padding masked out.

    Publishes the incoming levels with the deepest one encoded; the finer levels pass through unchanged.
    `channels`: width of the encoder and of the encoded level. `num_layers`, `num_heads`, `feedforward_channels`: depth,
    attention heads and hidden width; every layer attends from each position to all positions, so its cost grows with
    the square of their number.
    `dropout`: on each branch of a layer; `attention_dropout`: on attention weights; `activation_dropout`: inside the
    feed-forward. `activation`: the function inside the feed-forward.

    Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.2 and appendix A.3;
    github.com/facebookresearch/detr, models/transformer.py, TransformerEncoder.
    """

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1) if wanted is None else wanted.union(Requirement(last=1))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 2048,
        dropout: Probability = 0.1,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        deepest = features.levels[-1]
        self.input_projection = nn.Conv2d(deepest.channels, channels, 1)
        self.positions = SinePositions(channels)
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(
                channels,
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation_dropout=activation_dropout,
                activation=activation,
            )
            for _ in range(num_layers)
        )
        encoded = replace(deepest, channels=channels, prefix_tokens=0)
        self.features = FeaturePyramid((*features.levels[:-1], encoded), features.extras)
        # As the paper: Xavier throughout the transformer; the projection keeps torch's own.
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        features = self.input_projection(maps.maps[-1])
        height, width = features.shape[-2:]
        mask = canvas.mask_at(height, width)
        # [batch, channels, height, width] -> [batch, positions, channels]
        positions = self.positions(features, mask).flatten(2).transpose(1, 2)
        sequence = features.flatten(2).transpose(1, 2)
        for layer in self.layers:
            sequence = layer(sequence, positions=positions, mask=keys_to_look_at(mask))
        encoded = sequence.transpose(1, 2).unflatten(2, (height, width))
        tokens = (*maps.prefix_tokens[:-1], None) if maps.prefix_tokens else ()
        return FeatureMaps((*maps.maps[:-1], encoded), maps.extras, tokens)
