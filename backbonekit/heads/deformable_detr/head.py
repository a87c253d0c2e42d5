"""Deformable DETR's decoder: queries attend to a few points of several encoded maps and predict classes and boxes."""

import copy
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Heads, Probability, Queries
from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.contract.requirements import Requirement, choose_levels, one_width
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.heads.deformable_detr.encoder_proposals import EncoderProposals
from backbonekit.layers.deformable_attention import DeformableAttention, Points
from backbonekit.layers.deformable_decoder_layer import DecoderLayers, DeformableDecoderLayer
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.ops.levels import flatten_levels, valid_ratios
from backbonekit.ops.numerics import inverse_sigmoid

STRIDES = (8, 16, 32, 64)
PRIOR = 0.01  # initial score of every class; small, since most queries match no object


class DeformableDETRHead(nn.Module):
    """A query decoder over several levels of one width. The paper's model has the necks channel_mapper and
    deformable_encoder before it.

    `num_classes`: scores are independent (sigmoid), without "no object". `num_queries`: the number of queries; a query
    may predict boxes of several classes. `num_layers`, `num_heads`, `feedforward_channels`: the decoder's depth,
    attention heads and hidden width. `num_points`: how many points of each level a query samples. `dropout`: on each
    branch of a layer; `attention_dropout`: on the weights of self-attention; `activation_dropout`: inside the
    feed-forward network. `activation`: the function inside the feed-forward network.
    `auxiliary`: whether every earlier layer predicts too, for the loss.
    `box_refinement`: each layer corrects the box of the layer before, with predictors of its own.
    `two_stage`: queries start from boxes that the encoder's positions propose; with box_refinement only. The criterion
    requires proposals=objectness.
    `num_deepest_levels`: 0 takes one level at each of strides 8, 16, 32 and 64; another number takes that many of the
    deepest levels, whatever their strides.

    Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), section 4;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_detr.py.
    """

    criterion: ClassVar[str | None] = "box_set"
    scoring: ClassVar[Scoring] = "sigmoid"

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_deepest_levels: Count = 0) -> Requirement:
        return Requirement(last=num_deepest_levels) if num_deepest_levels else Requirement(strides=STRIDES)

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_queries: Queries = 300,
        num_layers: DecoderLayers = 6,
        num_heads: Heads = 8,
        num_points: Points = 4,
        feedforward_channels: Channels = 1024,
        dropout: Probability = 0.1,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        auxiliary: bool = True,
        box_refinement: bool = False,
        two_stage: bool = False,
        num_deepest_levels: Count = 0,
    ) -> None:
        super().__init__()
        if two_stage and not box_refinement:
            raise ContractError(
                "head deformable_detr: two_stage=true starts from boxes, which only box_refinement=true can correct. "
                "The fix: box_refinement=true."
            )
        self.positions = choose_levels(features, STRIDES, num_deepest_levels, part="head deformable_detr")
        channels = one_width(
            [features.levels[position] for position in self.positions],
            part="head deformable_detr",
            fix="neck=[channel_mapper, deformable_encoder]",
        )
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(
                channels,
                cross_attention=DeformableAttention(
                    channels, num_heads=num_heads, num_points=(num_points,) * len(self.positions)
                ),
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation_dropout=activation_dropout,
                activation=activation,
            )
            for _ in range(num_layers)
        )
        self.auxiliary = auxiliary
        self.box_refinement = box_refinement
        self.queries: nn.Embedding | None = None
        self.reference_predictor: nn.Linear | None = None
        self.proposals: EncoderProposals | None = None
        if two_stage:
            self.proposals = EncoderProposals(channels, num_queries=num_queries)
        else:
            # Position embeddings and features, concatenated.
            self.queries = nn.Embedding(num_queries, channels * 2)
            self.reference_predictor = nn.Linear(channels, 2)
        # One for all layers, or one for each; that of the proposals is the last.
        count = num_layers + two_stage if box_refinement else 1
        class_predictor = nn.Linear(channels, num_classes)
        box_predictor = MLP(channels, hidden_channels=channels, out_channels=4)
        self.class_predictors = nn.ModuleList(copy.deepcopy(class_predictor) for _ in range(count))
        self.box_predictors = nn.ModuleList(copy.deepcopy(box_predictor) for _ in range(count))
        self._initialise()

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxQueries:
        """Boxes are relative to the image without its padding, which is ignored where the canvas has a mask."""
        memory, shapes = flatten_levels([maps.maps[position] for position in self.positions])
        masks = [mask for mask in (canvas.mask_at(*shape) for shape in shapes) if mask is not None]
        memory_mask = torch.cat([mask.flatten(1) for mask in masks], dim=1) if masks else None
        # shares: [batch, 1, levels, 2], share of each level that is not padding
        shares = valid_ratios(masks, memory.dtype)[:, None] if masks else memory.new_ones(1, 1, len(shapes), 2)
        is_training = self.training or targets is not None
        queries, query_positions, references, proposals = self._start(memory, shapes, masks)
        predictions = []
        for index, layer in enumerate(self.layers):
            queries = layer(
                queries,
                memory,
                positions=query_positions,
                references=references[:, :, None] * shares.repeat(1, 1, 1, references.shape[-1] // 2),
                shapes=shapes,
                memory_mask=memory_mask,
            )
            is_final = index == len(self.layers) - 1
            if self.box_refinement or is_final or (self.auxiliary and is_training):
                predictions.append(self._prediction(index, queries, references))
            if self.box_refinement:
                references = predictions[-1].boxes_cxcywh.detach()
        final, earlier = predictions[-1], tuple(predictions[:-1]) if self.auxiliary and is_training else ()
        return BoxQueries(
            final.class_logits,
            final.boxes_cxcywh,
            auxiliary=earlier or None,
            proposals=proposals if is_training else None,
        )

    def _start(
        self, memory: Tensor, shapes: list[tuple[int, int]], masks: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, BoxQueries | None]:
        """Initial queries, their position embeddings, and their reference points or boxes, relative to the image."""
        if self.proposals is not None:
            proposed = self.proposals(
                memory,
                shapes,
                masks,
                class_predictor=self.class_predictors[-1],
                box_predictor=self.box_predictors[-1],
            )
            return proposed.queries, proposed.query_positions, proposed.boxes, proposed.all_positions
        assert self.queries is not None
        assert self.reference_predictor is not None
        # A lookup and not a view of the weight: FLOP counters that hook into modules cannot follow such views.
        every = torch.arange(self.queries.num_embeddings, device=memory.device)
        positions, queries = self.queries(every)[None].expand(memory.shape[0], -1, -1).chunk(2, dim=-1)
        return queries, positions, self.reference_predictor(positions).sigmoid(), None

    def _prediction(self, index: int, queries: Tensor, references: Tensor) -> BoxQueries:
        """The box is the reference plus a correction; a reference point is the centre of a box."""
        which = index if self.box_refinement else 0
        corrections = self.box_predictors[which](queries)
        reference_logits = inverse_sigmoid(references)
        given = reference_logits.shape[-1]
        logits = torch.cat((corrections[..., :given] + reference_logits, corrections[..., given:]), dim=-1)
        return BoxQueries(self.class_predictors[which](queries), logits.sigmoid())

    def _initialise(self) -> None:
        """As in the paper: initial corrections of zero, small boxes around points, and a low score of every class."""
        for parameter in (one for layer in self.layers for one in layer.feedforward.parameters()):  # type: ignore[union-attr]
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for layer in self.layers:
            attention = layer.self_attention
            for linear in (attention.query, attention.key, attention.value, attention.output):  # type: ignore[union-attr]
                nn.init.xavier_uniform_(linear.weight)  # type: ignore[union-attr,arg-type]
        if self.reference_predictor is not None:
            nn.init.xavier_uniform_(self.reference_predictor.weight)
            nn.init.zeros_(self.reference_predictor.bias)
        for predictor in self.class_predictors:
            nn.init.constant_(predictor.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        for position, predictor in enumerate(self.box_predictors):
            last = predictor.layers[-1]  # type: ignore[union-attr,index]
            nn.init.zeros_(last.weight)  # type: ignore[union-attr,arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[union-attr,arg-type]
            if position == 0 and self.proposals is None:
                # A reference point has no width and height: they start at 0.12 of the image.
                nn.init.constant_(last.bias[2:], -2.0)  # type: ignore[union-attr,index]
