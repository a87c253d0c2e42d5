"""MaskFormer's transformer module: learned queries attend to the coarsest map; each predicts a class and a mask."""

from typing import ClassVar, Literal

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Heads, Layers, Probability, Queries
from backbonekit.contract.predictions import MaskQueries, Scoring
from backbonekit.contract.requirements import MASK_FEATURES, Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.layers.query_decoding import decode_queries
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.layers.transformer_decoder_layer import TransformerDecoderLayer


class MaskFormerHead(nn.Module):
    """A DETR decoder on the deepest level; masks are the product of its mask embeddings with the extra `mask_features`.

    `num_classes`: without "no object". `num_queries`: the largest number of masks. `channels`: width of the decoder.
    `num_layers`, `num_heads`, `feedforward_channels`: the decoder's depth, attention heads and hidden width. `dropout`:
    on each branch of a layer; `attention_dropout`: on attention weights; `activation_dropout`: inside the feed-forward
    network. `activation`: the function inside the feed-forward network.
    `auxiliary`: which earlier predictions are returned too, for the loss. "none"; "normalised": those of every earlier
    layer after the final norm, as in the paper; "raw": those of the initial queries and of every earlier layer without
    that norm, as in transformers with use_auxiliary_loss.

    Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), figure 2;
    github.com/facebookresearch/MaskFormer, mask_former/modeling/transformer/transformer_predictor.py.
    """

    criterion: ClassVar[str | None] = "mask_set"
    scoring: ClassVar[Scoring] = "softmax_with_null"

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1, extras=(MASK_FEATURES,))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_queries: Queries = 100,
        channels: Channels = 256,
        num_layers: Layers = 6,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 2048,
        dropout: Probability = 0.1,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        auxiliary: Literal["none", "normalised", "raw"] = "none",
    ) -> None:
        super().__init__()
        if MASK_FEATURES not in features.extras:
            raise ContractError(
                "head maskformer requires the extra mask_features, which the part before it does not return. "
                "The fix: neck=fpn_pixel_decoder."
            )
        in_channels = features.levels[-1].channels
        # As in the reference, a map that already has the decoder's width is not projected.
        self.input_projection = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()
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
        self.mask_embedder = MLP(
            channels, hidden_channels=channels, out_channels=features.extras[MASK_FEATURES].channels
        )
        self.auxiliary = auxiliary
        self._initialise()

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> MaskQueries:
        """`mask_logits` have the size of `mask_features`. Padding is not attended to where the canvas has a mask."""
        features = self.input_projection(maps.maps[-1])
        states = decode_queries(self.layers, self.queries.weight, features, canvas, positions=self.positions)
        final = self.norm(states[-1])
        mask_features = maps.extras[MASK_FEATURES]
        if self.auxiliary == "none" or not (self.training or targets is not None):
            mask_logits = torch.einsum("bqc,bchw->bqhw", self.mask_embedder(final), mask_features)
            return MaskQueries(self.class_predictor(final), mask_logits)
        earlier = states[:-1] if self.auxiliary == "raw" else [self.norm(state) for state in states[1:-1]]
        # stacked: [batch, layers, queries, channels], the final layer last
        stacked = torch.stack((*earlier, final), dim=1)
        class_logits = self.class_predictor(stacked).unbind(1)
        mask_logits = torch.einsum("blqc,bchw->blqhw", self.mask_embedder(stacked), mask_features).unbind(1)
        auxiliary = tuple(map(MaskQueries, class_logits[:-1], mask_logits[:-1]))
        return MaskQueries(class_logits[-1], mask_logits[-1], auxiliary or None)

    def _initialise(self) -> None:
        """As in the paper's code: Xavier in the decoder, He for the input, torch's default for the two predictors."""
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if isinstance(self.input_projection, nn.Conv2d):
            nn.init.kaiming_uniform_(self.input_projection.weight, a=1)
            nn.init.zeros_(self.input_projection.bias)  # type: ignore[arg-type]
