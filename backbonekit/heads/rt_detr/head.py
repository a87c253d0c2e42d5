"""RT-DETR's decoder, versions 1 and 2: queries selected from the encoder refine their boxes layer by layer."""

from typing import ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Heads, Probability, Queries
from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.layers.deformable_attention import DeformableAttention, OffsetScale, Points
from backbonekit.layers.deformable_decoder_layer import DecoderLayers, DeformableDecoderLayer
from backbonekit.layers.feedforward import MLP, Activation
from backbonekit.layers.initial_queries import BoxNoise, InitialQueries, strides_for
from backbonekit.layers.query_selection import initialise_predictors
from backbonekit.ops.deformable_sampling import Sampling
from backbonekit.ops.numerics import inverse_sigmoid


class RTDETRHead(nn.Module):
    """A query decoder: the best positions of the encoder become queries, which attend to points around their boxes.

    `num_classes`: scores are independent (sigmoid), without "no object". `num_queries`: the largest number of boxes.
    `channels`: width of the decoder. `num_layers`, `num_heads`, `feedforward_channels`: its depth, attention heads and
    hidden width.
    `num_points`: how many points of each level a query samples in each attention head, fine to coarse; there are as
    many levels as numbers, the coarsest of stride 32. `offset_scale`: scale of the sampling offsets, in boxes.
    `sampling`: `nearest` for deployment without bilinear sampling. `dropout`: on each branch of a layer;
    `attention_dropout`: on the weights of self-attention; `activation_dropout`: inside the feed-forward network.
    `activation`: the function inside the feed-forward network.
    `learned_queries`: the features of queries are learned, and only their boxes are selected from the encoder.
    `num_denoising_queries`: about this many noisy copies of the ground truth, and as many negatives, are further
    queries in training; 0 for none. `label_noise`: half of it is the share of their labels drawn anew. `box_noise`: how
    far their edges are moved, in half sides.

    Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (2024), section 4;
    Lv et al., "RT-DETRv2: Improved Baseline with Bag-of-Freebies" (2024);
    github.com/lyuwenyu/RT-DETR, rtdetrv2_pytorch/src/zoo/rtdetr/rtdetrv2_decoder.py.
    """

    criterion: ClassVar[str | None] = "box_set"
    scoring: ClassVar[Scoring] = "sigmoid"

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_points: tuple[Points, ...] = (4, 4, 4)) -> Requirement:
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
        num_points: tuple[Points, ...] = (4, 4, 4),
        offset_scale: OffsetScale = 0.5,
        sampling: Sampling = "bilinear",
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
        activation_dropout: Probability = 0.0,
        activation: Activation = "relu",
        learned_queries: bool = False,
        num_denoising_queries: Count = 100,
        label_noise: Probability = 0.5,
        box_noise: BoxNoise = 1.0,
    ) -> None:
        super().__init__()
        self.start = InitialQueries(
            features,
            head="rt_detr",
            num_levels=len(num_points),
            channels=channels,
            num_classes=num_classes,
            num_queries=num_queries,
            project=True,
            learned_queries=learned_queries,
            num_denoising_queries=num_denoising_queries,
            label_noise=label_noise,
            box_noise=box_noise,
        )
        self.positions = MLP(4, hidden_channels=2 * channels, out_channels=channels, num_layers=2)
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(
                channels,
                cross_attention=DeformableAttention(
                    channels, num_heads=num_heads, num_points=num_points, offset_scale=offset_scale, sampling=sampling
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
        self.class_predictors = nn.ModuleList(nn.Linear(channels, num_classes) for _ in range(num_layers))
        self.box_predictors = nn.ModuleList(
            MLP(channels, hidden_channels=channels, out_channels=4) for _ in range(num_layers)
        )
        self._initialise()

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxQueries:
        """Positions in the padding are neither selected nor attended to where the canvas has a mask."""
        is_training = self.training or targets is not None
        start = self.start(maps, canvas, targets if self.training else None)
        queries, references = start.queries, start.references
        predictions = []
        for index, (layer, class_predictor, box_predictor) in enumerate(
            zip(self.layers, self.class_predictors, self.box_predictors, strict=True)
        ):
            queries = layer(
                queries,
                start.memory,
                positions=self.positions(references.to(queries.dtype)),
                references=references.to(queries.dtype)[:, :, None],
                shapes=start.shapes,
                memory_mask=start.memory_mask,
                query_mask=start.query_mask,
            )
            boxes = (box_predictor(queries) + inverse_sigmoid(references)).sigmoid()
            references = boxes.detach()
            if is_training or index == len(self.layers) - 1:
                predictions.append(BoxQueries(class_predictor(queries), start.in_image(boxes)))
        return start.prediction(predictions, is_training=is_training)

    def _initialise(self) -> None:
        for class_predictor, box_predictor in zip(self.class_predictors, self.box_predictors, strict=True):
            initialise_predictors(class_predictor, box_predictor)  # type: ignore[arg-type]
        for layer in self.positions.layers:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
