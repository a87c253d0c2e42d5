"""FCOS: every location of every level predicts a class and the distances to the four sides of its box."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Classes, Layers, Norm, Probability, Stride
from backbonekit.contract.predictions import BoxCandidates, Scoring
from backbonekit.contract.requirements import Requirement, choose_levels, one_width
from backbonekit.contract.targets import Targets
from backbonekit.layers.prediction_tower import PredictionTower, by_position, logit, predictor
from backbonekit.ops.anchors import grid_anchors
from backbonekit.ops.numerics import upcast_to_float32

STRIDES = (8, 16, 32, 64, 128)


class FCOSHead(nn.Module):
    """Two towers, shared by all levels: one for classes, one for the distances to the sides and for the centre-ness.

    `num_classes`: without background. `strides`: of the levels that it requires; finer ones find smaller objects.
    `num_convolutions`: of each tower. `norm`: after each of them. `prior`: the score of every class at every
    location before training; small, since most locations are background.

    Distances are in strides of the level; the anchor of a location is the square of one stride around it.

    Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (2019), with centre-ness beside the
    regression as in its follow-up (2020); torchvision/models/detection/fcos.py.
    """

    criterion: ClassVar[str | None] = "fcos"
    scoring: ClassVar[Scoring] = "sigmoid"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        strides: tuple[Stride, ...] = STRIDES,
        num_convolutions: Layers = 4,
        norm: Norm = "group",
        prior: Probability = 0.01,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, strides, 0, part="head fcos")
        levels = [features.levels[position] for position in self.positions]
        channels = one_width(levels, part="head fcos", fix="neck=fpn")
        self.num_classes = num_classes
        # The sides of the anchors, in pixels; they define the sizes of the boxes that a level is responsible for.
        self.sides = tuple(float(level.stride) for level in levels)
        self.class_tower = PredictionTower(channels, num_convolutions=num_convolutions, norm=norm)
        self.class_predictor = predictor(channels, num_classes, bias=logit(prior))
        self.box_tower = PredictionTower(channels, num_convolutions=num_convolutions, norm=norm)
        self.box_predictor = predictor(channels, 4)
        self.centreness_predictor = predictor(channels, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, strides: tuple[Stride, ...] = STRIDES) -> Requirement:
        """The levels of these strides; a neck makes the coarse ones."""
        return Requirement(strides=strides)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxCandidates:
        classes, boxes, distances, anchors, centreness = [], [], [], [], []
        for position, side in zip(self.positions, self.sides, strict=True):
            level = maps.maps[position]
            shape = (level.shape[-2], level.shape[-1])
            box_features = self.box_tower(level)
            classes.append(by_position(self.class_predictor(self.class_tower(level)), self.num_classes))
            distances.append(by_position(self.box_predictor(box_features).relu_(), 4))
            centreness.append(by_position(self.centreness_predictor(box_features), 1))
            anchors.append(grid_anchors(shape, canvas.size, [(side, side)], level))
            boxes.append(boxes_at_distances(distances[-1], anchors[-1]))
        return BoxCandidates(tuple(classes), tuple(boxes), tuple(distances), tuple(anchors), tuple(centreness))


def boxes_at_distances(
    distances: Float[Tensor, "batch locations 4"], anchors_xyxy: Float[Tensor, "locations 4"]
) -> Float[Tensor, "batch locations 4"]:
    """Boxes in pixels. `distances`: from the anchor's centre to left, top, right, bottom, in sides of the anchor."""
    distances = upcast_to_float32(distances)
    corners = anchors_xyxy.unflatten(-1, (2, 2))
    centres, sides = corners.mean(-2), corners[..., 1, :] - corners[..., 0, :]
    before, after = distances.unflatten(-1, (2, 2)).unbind(-2)
    return torch.cat((centres - before * sides, centres + after * sides), dim=-1)
