"""D-FINE's decoder: every layer refines a distribution over the position of each edge of a box."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Heads, Probability, Queries, Range
from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.heads.d_fine.decoder_layer import GatedDecoderLayer, LocationQuality
from backbonekit.layers.deformable_attention import DeformableAttention, OffsetScale, Points
from backbonekit.layers.deformable_decoder_layer import DecoderLayers
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.layers.initial_queries import BoxNoise, InitialQueries, strides_for
from backbonekit.layers.query_selection import initialise_predictors
from backbonekit.ops.deformable_sampling import Sampling
from backbonekit.ops.edge_distributions import distances_to_boxes, expected_distances, weighting_function
from backbonekit.ops.numerics import inverse_sigmoid

LARGEST_POSITION = 10.0  # largest magnitude in a position embedding

Bins = Annotated[int, Range(4, 1_024)]
EdgeScale = Annotated[float, Range(0.01, 1_000.0)]
Top = Annotated[int, Range(1, 64)]


class DFINEHead(nn.Module):
    """RT-DETR's decoder with distributions over edges: the first layer predicts a box, and all layers sum their logits
    for the position of each of its edges.

    `num_classes`: scores are independent (sigmoid), without "no object". `num_queries`: the largest number of boxes.
    `channels`: width of the decoder. `num_layers`, `num_heads`, `feedforward_channels`: its depth, attention heads and
    hidden width.
    `num_points`: how many points of each level a query samples in each attention head, fine to coarse; there are as
    many levels as numbers, the coarsest of stride 32. `offset_scale`: scale of the sampling offsets, in boxes.
    `sampling`: `nearest` for deployment without bilinear sampling. `dropout`: on the output of each attention;
    `attention_dropout`: on the weights of self-attention. `activation`: the function inside the feed-forward
    network. `num_bins`: an even number; the distribution of an edge has
    one bin more. `edge_scale`: a larger value makes the bins around an offset of zero finer. `edge_reach`: the largest
    offset of an edge without the two outermost bins, in sides of the first box.
    `num_quality_bins`: how many of the likeliest bins of each edge the quality of a box is estimated from;
    `quality_channels`, `num_quality_layers`: of the network that reads them. `learned_queries`: the features of queries
    are learned, and only their boxes are selected from the encoder.
    `num_denoising_queries`: about this many noisy copies of the ground truth, and as many negatives, are further
    queries in training; 0 for none. `label_noise`: half of it is the share of their labels drawn anew. `box_noise`: how
    far their edges are moved, in half sides. The criterion requires the same `num_bins`, `edge_scale` and `edge_reach`.

    Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024),
    section 4; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_decoder.py.
    """

    criterion: ClassVar[str | None] = "edge_box_set"
    scoring: ClassVar[Scoring] = "sigmoid"

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_points: tuple[Points, ...] = (3, 6, 3)) -> Requirement:
        return strides_for(len(num_points))

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_queries: Queries = 300,
        channels: Channels = 256,
        num_layers: DecoderLayers = 6,
        num_heads: Heads = 8,
        feedforward_channels: Channels = 1024,
        num_points: tuple[Points, ...] = (3, 6, 3),
        offset_scale: OffsetScale = 0.5,
        sampling: Sampling = "bilinear",
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
        activation: Activation = "relu",
        num_bins: Bins = 32,
        edge_scale: EdgeScale = 4.0,
        edge_reach: EdgeScale = 0.5,
        num_quality_bins: Top = 4,
        quality_channels: Channels = 64,
        num_quality_layers: DecoderLayers = 2,
        learned_queries: bool = False,
        num_denoising_queries: Count = 100,
        label_noise: Probability = 0.5,
        box_noise: BoxNoise = 1.0,
    ) -> None:
        super().__init__()
        _check(num_bins, num_quality_bins)
        self.start = InitialQueries(
            features,
            head="d_fine",
            num_levels=len(num_points),
            channels=channels,
            num_classes=num_classes,
            num_queries=num_queries,
            project=False,
            learned_queries=learned_queries,
            num_denoising_queries=num_denoising_queries,
            label_noise=label_noise,
            box_noise=box_noise,
        )
        self.positions = MLP(4, hidden_channels=2 * channels, out_channels=channels, num_layers=2)
        self.layers = nn.ModuleList(
            GatedDecoderLayer(
                channels,
                cross_attention=DeformableAttention(
                    channels,
                    num_heads=num_heads,
                    num_points=num_points,
                    offset_scale=offset_scale,
                    project=False,
                    sampling=sampling,
                ),
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
            )
            for _ in range(num_layers)
        )
        self.first_box_predictor = MLP(channels, hidden_channels=channels, out_channels=4)
        self.class_predictors = nn.ModuleList(nn.Linear(channels, num_classes) for _ in range(num_layers))
        self.edge_predictors = nn.ModuleList(
            MLP(channels, hidden_channels=channels, out_channels=4 * (num_bins + 1)) for _ in range(num_layers)
        )
        self.qualities = nn.ModuleList(
            LocationQuality(top=num_quality_bins, hidden_channels=quality_channels, num_layers=num_quality_layers)
            for _ in range(num_layers)
        )
        # Buffers in the state dict, as in the reference: the meaning of the bins is part of a checkpoint.
        self.register_buffer("edge_scale", torch.tensor([float(edge_scale)]))
        self.register_buffer("edge_reach", torch.tensor([float(edge_reach)]))
        self.num_bins = num_bins
        self._initialise()

    edge_scale: Tensor
    edge_reach: Tensor

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxQueries:
        """In training the first auxiliary prediction is the box of the first layer before any distribution.

        Positions in the padding are neither selected nor attended to where the canvas has a mask.
        """
        is_training = self.training or targets is not None
        start = self.start(maps, canvas, targets if self.training else None)
        distances = weighting_function(self.num_bins, reach=self.edge_reach, scale=self.edge_scale)
        queries, references = start.queries, start.references
        previous, edge_logits, first_boxes = torch.zeros_like(queries), None, references
        predictions = []
        for index, layer in enumerate(self.layers):
            dtype = queries.dtype
            queries = layer(
                queries,
                start.memory,
                positions=self.positions(references.to(dtype)).clamp(-LARGEST_POSITION, LARGEST_POSITION),
                references=references.to(dtype)[:, :, None],
                shapes=start.shapes,
                memory_mask=start.memory_mask,
                query_mask=start.query_mask,
            )
            if index == 0:
                corrected = (self.first_box_predictor(queries) + inverse_sigmoid(references)).sigmoid()
                first_boxes = corrected.detach()
                if is_training:
                    predictions.append(BoxQueries(self.class_predictors[0](queries), start.in_image(corrected)))
            # [batch, queries, 4 x bins] -> [batch, queries, 4, bins]
            change = self.edge_predictors[index](queries + previous).unflatten(-1, (4, -1))
            edge_logits = change if edge_logits is None else edge_logits + change
            boxes = distances_to_boxes(first_boxes, expected_distances(edge_logits, distances), self.edge_scale)
            references, previous = boxes.detach(), queries.detach()
            if is_training or index == len(self.layers) - 1:
                class_logits = self.class_predictors[index](queries) + self.qualities[index](edge_logits)
                prediction = BoxQueries(class_logits, start.in_image(boxes))
                prediction.edge_logits, prediction.reference_boxes = edge_logits, start.in_image(first_boxes)
                predictions.append(prediction)
        return start.prediction(predictions, is_training=is_training)

    def _initialise(self) -> None:
        for class_predictor, edge_predictor in zip(self.class_predictors, self.edge_predictors, strict=True):
            initialise_predictors(class_predictor, edge_predictor)  # type: ignore[arg-type]
        last = self.first_box_predictor.layers[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        for layer in self.positions.layers:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]


def _check(num_bins: int, num_quality_bins: int) -> None:
    if num_bins % 2:
        raise ContractError(
            f"head d_fine: num_bins={num_bins} must be even: half of the bins lie on each side of zero. The fix: "
            f"num_bins={num_bins + 1}."
        )
    if num_quality_bins > num_bins + 1:
        raise ContractError(f"head d_fine: num_quality_bins={num_quality_bins}, but an edge has {num_bins + 1} bins.")
