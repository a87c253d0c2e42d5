"""Faster R-CNN: a network proposes regions, a second one classifies and corrects each."""

from typing import Annotated, ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Probability, Queries, Range, Stride
from backbonekit.contract.predictions import Detections, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Reads, Targets
from backbonekit.heads.faster_rcnn.region_detector import RegionDetector

STRIDES = (4, 8, 16, 32, 64)
POOLED_LEVELS = 4  # the coarsest level only proposes

AnchorScale = Annotated[float, Range(0.1, 100.0)]
AspectRatio = Annotated[float, Range(0.01, 100.0)]


class FasterRCNNHead(nn.Module):
    """A region proposal network on all levels, and a two-layer network on the features of each region.

    `num_classes`: without background. `strides`: of the levels that it requires; finer ones find smaller objects.
    `anchor_scale`: side of a level's anchors, in strides. `aspect_ratios`: height by width of the anchors at each
    position. `num_proposals`: the number of regions kept for an image. `num_proposals_in_training`: the same in
    training. `score_threshold`: the lowest score of a detection. `nms_threshold`: of boxes of one class whose IoU is
    larger, only the best is kept. `max_detections`: the largest number of detections for an image.
    `feedforward_channels`: width of the network on regions.

    The losses are part of the forward pass, because they are computed on a random sample of its own proposals:
    `objectness`, `proposal`, `class` and `box`, in the prediction. In training mode nothing is detected. The number of
    regions depends on the image, so the head is neither exported nor compiled as one graph.

    Source: Ren et al., "Faster R-CNN" (2015), over the pyramid of Lin et al. (2017);
    torchvision/models/detection/faster_rcnn.py.
    """

    criterion: ClassVar[str | None] = None
    scoring: ClassVar[Scoring] = "softmax"
    name: ClassVar[str] = "faster_rcnn"
    reads: ClassVar[Reads] = (("boxes", "labels"),)
    has_masks: ClassVar[bool] = False

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        strides: tuple[Stride, ...] = STRIDES,
        anchor_scale: AnchorScale = 8.0,
        aspect_ratios: tuple[AspectRatio, ...] = (0.5, 1.0, 2.0),
        num_proposals: Queries = 1000,
        num_proposals_in_training: Queries = 2000,
        score_threshold: Probability = 0.05,
        nms_threshold: Probability = 0.5,
        max_detections: Queries = 100,
        feedforward_channels: Channels = 1024,
    ) -> None:
        super().__init__()
        self.detector = RegionDetector(
            features,
            head=self.name,
            strides=strides,
            num_classes=num_classes,
            anchor_scale=anchor_scale,
            aspect_ratios=aspect_ratios,
            num_proposals=num_proposals,
            num_proposals_in_training=num_proposals_in_training,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            max_detections=max_detections,
            feedforward_channels=feedforward_channels,
            pooled_levels=POOLED_LEVELS,
            has_masks=self.has_masks,
        )

    @classmethod
    def needs(cls, wanted: Requirement | None, *, strides: tuple[Stride, ...] = STRIDES) -> Requirement:
        """The levels of these strides; a neck makes the coarse ones."""
        return Requirement(strides=strides)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> Detections:
        return self.detector(maps, canvas, targets)
