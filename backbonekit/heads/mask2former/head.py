"""Mask2Former's transformer decoder: each query attends to one level after another, inside its last predicted mask."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Heads, Layers, Probability, Queries, Range
from backbonekit.contract.predictions import MaskQueries, Scoring
from backbonekit.contract.requirements import MASK_FEATURES, Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.attention import keys_to_look_at
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.layers.transformer_decoder_layer import TransformerDecoderLayer
from backbonekit.ops.resize import resize_bilinear

LevelCount = Annotated[int, Range(1, 16)]


class Mask2FormerHead(nn.Module):
    """A decoder with masked attention over the deepest levels, coarse to fine and then again from the coarsest. Masks
    are the product of its mask embeddings with the extra `mask_features`.

    `num_classes`: without "no object". `num_queries`: the largest number of masks; each query has learned features and
    a learned position. `channels`: width of the decoder. `num_levels`: how many of the deepest levels it attends to,
    one in each layer, in turn.
    `num_layers`, `num_heads`, `feedforward_channels`: the decoder's depth (the paper counts the prediction before the
    first layer too, so its 10 are 9 here), attention heads and hidden width. `dropout`: on each branch, on attention
    weights and inside the feed-forward network. `activation`: the function inside the feed-forward network. `project`:
    a 1x1 convolution on every level, also where it already has the decoder's width.
    `auxiliary`: the initial queries and every earlier layer predict too, for the loss.

    Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.2;
    github.com/facebookresearch/Mask2Former,
    mask2former/modeling/transformer_decoder/mask2former_transformer_decoder.py.
    """

    criterion: ClassVar[str | None] = "point_mask_set"
    scoring: ClassVar[Scoring] = "softmax_with_null"

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_levels: LevelCount = 3) -> Requirement:
        return Requirement(last=num_levels, extras=(MASK_FEATURES,))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_queries: Queries = 100,
        channels: Channels = 256,
        num_levels: LevelCount = 3,
        num_layers: Layers = 9,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 2048,
        dropout: Probability = 0.0,
        activation: Activation = "relu",
        project: bool = False,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        _check(features, num_levels)
        self.num_levels = num_levels
        # Coarse to fine, the order in which they are attended to.
        self.projections = nn.ModuleList(
            nn.Conv2d(level.channels, channels, 1) if project or level.channels != channels else nn.Identity()
            for level in reversed(features.levels[-num_levels:])
        )
        self.level_embedding = nn.Embedding(num_levels, channels)
        self.positions = SinePositions(channels)
        self.query_features = nn.Embedding(num_queries, channels)
        self.query_positions = nn.Embedding(num_queries, channels)
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(
                channels,
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                attention_dropout=dropout,
                activation_dropout=dropout,
                activation=activation,
                cross_first=True,
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
        mask_features = maps.extras[MASK_FEATURES]
        states, embeddings = self._decode(maps.maps[-self.num_levels :], mask_features, canvas)
        if not self.auxiliary or not (self.training or targets is not None):
            mask_logits = torch.einsum("bqc,bchw->bqhw", embeddings[-1], mask_features)
            return MaskQueries(self.class_predictor(states[-1]), mask_logits)
        # stacked: [batch, predictions, queries, ...], the final one last
        class_logits = self.class_predictor(torch.stack(states, dim=1)).unbind(1)
        mask_logits = torch.einsum("blqc,bchw->blqhw", torch.stack(embeddings, dim=1), mask_features).unbind(1)
        auxiliary = tuple(map(MaskQueries, class_logits[:-1], mask_logits[:-1]))
        return MaskQueries(class_logits[-1], mask_logits[-1], auxiliary or None)

    def _decode(
        self, levels: tuple[Tensor, ...], mask_features: Tensor, canvas: Canvas
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Queries after the norm and their mask embeddings, each [batch, queries, channels]: before the first layer
        and after each."""
        maps = [project(level) for project, level in zip(self.projections, reversed(levels), strict=True)]
        masks = [canvas.mask_at(one.shape[-2], one.shape[-1]) for one in maps]
        # memories, positions: [batch, positions, channels] for each level
        memories = [
            one.flatten(2).transpose(1, 2) + embedding
            for one, embedding in zip(maps, self.level_embedding.weight, strict=True)
        ]
        positions = [
            self.positions(one, mask).flatten(2).transpose(1, 2) for one, mask in zip(maps, masks, strict=True)
        ]
        keys = [keys_to_look_at(mask) for mask in masks]
        # The product with resized features equals the resized product, at a small part of the cost.
        # small: [batch, channels, positions] for each level
        small = [resize_bilinear(mask_features.detach(), (one.shape[-2], one.shape[-1])).flatten(2) for one in maps]

        # A copy: FLOP counters that hook into modules cannot distinguish a view of a parameter from the parameter.
        queries = self.query_features.weight.repeat(mask_features.shape[0], 1, 1)
        states = [self.norm(queries)]
        embeddings = [self.mask_embedder(states[0])]
        for index, layer in enumerate(self.layers):
            turn = index % self.num_levels
            queries = layer(
                queries,
                memories[turn],
                query_positions=self.query_positions.weight[None],
                memory_positions=positions[turn],
                memory_mask=_attention_mask(embeddings[-1].detach() @ small[turn], keys[turn]),
            )
            states.append(self.norm(queries))
            embeddings.append(self.mask_embedder(states[-1]))
        return states, embeddings

    def _initialise(self) -> None:
        """As in the paper's code: Xavier in the decoder's layers, He for projections, torch's default otherwise."""
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for projection in self.projections:
            if isinstance(projection, nn.Conv2d):
                nn.init.kaiming_uniform_(projection.weight, a=1)
                nn.init.zeros_(projection.bias)  # type: ignore[arg-type]


def _attention_mask(mask_logits: Tensor, keys: Tensor | None) -> Tensor:
    """Attention mask, bool [batch, 1, queries, positions]: True inside the query's mask and outside the padding; where
    no position is left, True everywhere outside the padding. `keys`: bool [batch, 1, 1, positions], True outside the
    padding, or None."""
    inside = (mask_logits >= 0)[:, None]
    if keys is None:
        return inside | ~inside.any(-1, keepdim=True)
    inside = inside & keys
    return torch.where(inside.any(-1, keepdim=True), inside, keys)


def _check(features: FeaturePyramid, num_levels: int) -> None:
    if MASK_FEATURES not in features.extras:
        raise ContractError(
            "head mask2former requires the extra mask_features, which the part before it does not return. "
            "The fix: neck=deformable_pixel_decoder."
        )
    if len(features.levels) < num_levels:
        raise ContractError(
            f"head mask2former: num_levels={num_levels}, but it receives only {len(features.levels)}. The fix: "
            f"head.num_levels={len(features.levels)}."
        )
