"""RetinaNet: nine anchors at every position of every level, each with a class and a correction."""

from typing import Annotated, ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Classes, Layers, Norm, Probability, Range, Stride
from backbonekit.contract.predictions import BoxCandidates, Scoring
from backbonekit.contract.requirements import Requirement, choose_levels, one_width
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.prediction_tower import PredictionTower, by_position, logit, predictor
from backbonekit.ops.anchors import cell_anchors, decode_deltas, grid_anchors

STRIDES = (8, 16, 32, 64, 128)
AnchorScale = Annotated[float, Range(0.1, 100.0)]
AspectRatio = Annotated[float, Range(0.01, 100.0)]
SCALES = tuple(2 ** (third / 3) for third in range(3))  # three sides an octave


class RetinaNetHead(nn.Module):
    """Two towers, shared by all levels: one scores every class for every anchor, one corrects the anchors.

    `num_classes`: without background. `strides`: of the levels that it requires; finer ones find smaller objects.
    `num_convolutions`: of each tower. `norm`: after each of them; the paper has none. `anchor_scale`: the smallest
    anchor's side in strides of its level; two more lie between it and twice that. `aspect_ratios`: height by width of
    the anchors of each side. `prior`: the score of every class at every position before training.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4;
    torchvision/models/detection/retinanet.py.
    """

    criterion: ClassVar[str | None] = "retinanet"
    scoring: ClassVar[Scoring] = "sigmoid"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        strides: tuple[Stride, ...] = STRIDES,
        num_convolutions: Layers = 4,
        norm: Norm = "none",
        anchor_scale: AnchorScale = 4.0,
        aspect_ratios: tuple[AspectRatio, ...] = (0.5, 1.0, 2.0),
        prior: Probability = 0.01,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, strides, 0, part="head retinanet")
        levels = [features.levels[position] for position in self.positions]
        channels = one_width(levels, part="head retinanet", fix="neck=fpn")
        if not aspect_ratios:
            raise ContractError("head retinanet: aspect_ratios is empty; set one or more, such as [0.5, 1.0, 2.0].")
        self.num_classes = num_classes
        # Whole pixels, as in the reference.
        sides = [[float(int(anchor_scale * level.stride * scale)) for scale in SCALES] for level in levels]
        self.cells = tuple(cell_anchors(side, aspect_ratios) for side in sides)
        anchors = len(SCALES) * len(aspect_ratios)
        self.class_tower = PredictionTower(channels, num_convolutions=num_convolutions, norm=norm)
        self.class_predictor = predictor(channels, anchors * num_classes, bias=logit(prior))
        self.box_tower = PredictionTower(channels, num_convolutions=num_convolutions, norm=norm)
        self.box_predictor = predictor(channels, anchors * 4)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, strides: tuple[Stride, ...] = STRIDES) -> Requirement:
        """The levels of these strides; a neck makes the coarse ones."""
        return Requirement(strides=strides)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> BoxCandidates:
        classes, boxes, corrections, anchors = [], [], [], []
        for position, cells in zip(self.positions, self.cells, strict=True):
            level = maps.maps[position]
            shape = (level.shape[-2], level.shape[-1])
            classes.append(by_position(self.class_predictor(self.class_tower(level)), self.num_classes))
            corrections.append(by_position(self.box_predictor(self.box_tower(level)), 4))
            anchors.append(grid_anchors(shape, canvas.size, cells, level))
            boxes.append(decode_deltas(corrections[-1], anchors[-1]))
        return BoxCandidates(tuple(classes), tuple(boxes), tuple(corrections), tuple(anchors))
