"""DETR's decoder: learned queries attend to the encoded map; each predicts a class and a box."""

from typing import ClassVar

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Heads, Layers, Probability, Queries
from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.layers.query_decoding import decode_queries
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.layers.transformer_decoder_layer import TransformerDecoderLayer


class DETRHead(nn.Module):
    """A query decoder on the deepest level, with the width of that level. The paper's model has the neck
    transformer_encoder before it.

    `num_classes`: without "no object". `num_queries`: the largest number of boxes. `num_layers`, `num_heads`,
    `feedforward_channels`: the decoder's depth, attention heads and hidden width. `dropout`: on each branch of a layer;
    `attention_dropout`: on attention weights; `activation_dropout`: inside the feed-forward network. `activation`: the
    function inside the feed-forward network.
    `auxiliary`: whether every earlier layer predicts too, for the loss, with the same norm and predictors.
    `norm_between`: whether the final norm is also applied between the layers; this is a different network, the one of
    transformers with auxiliary_loss.

    Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.2 and figure 2;
    github.com/facebookresearch/detr, models/detr.py.
    """

    criterion: ClassVar[str | None] = "box_set"
    scoring: ClassVar[Scoring] = "softmax_with_null"

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1)

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_queries: Queries = 100,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 2048,
        dropout: Probability = 0.1,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        auxiliary: bool = True,
        norm_between: bool = False,
    ) -> None:
        super().__init__()
        channels = features.levels[-1].channels
        self.positions = SinePositions(channels)
        self.queries = nn.Embedding(num_queries, channels)
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(
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
        self.norm = nn.LayerNorm(channels)
        self.class_predictor = nn.Linear(channels, num_classes + 1)
        self.box_predictor = MLP(channels, hidden_channels=channels, out_channels=4)
        self.auxiliary = auxiliary
        self.norm_between = norm_between
        # As in the paper: Xavier in the transformer; queries and predictors keep torch's initialisation.
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxQueries:
        """Boxes are relative to the image without its padding, which is ignored where the canvas has a mask."""
        states = decode_queries(
            self.layers,
            self.queries.weight,
            maps.maps[-1],
            canvas,
            positions=self.positions,
            norm_between=self.norm if self.norm_between else None,
        )
        earlier = states[1:-1] if self.auxiliary and (self.training or targets is not None) else []
        if not self.norm_between:
            earlier = [self.norm(state) for state in earlier]
        # stacked: [layers, batch, queries, channels], the final layer last
        stacked = torch.stack((*earlier, self.norm(states[-1])))
        class_logits = self.class_predictor(stacked).unbind()
        boxes = self.box_predictor(stacked).sigmoid().unbind()
        auxiliary = tuple(map(BoxQueries, class_logits[:-1], boxes[:-1]))
        return BoxQueries(class_logits[-1], boxes[-1], auxiliary or None)
