"""The kinds of prediction that heads return. Post-processing, drawing and export depend on these alone.

Not frozen: Lightning sets their fields. Every tensor has the size that the reference model of the head's name returns;
resizing belongs to post-processing. `auxiliary` rides along for the loss and is None outside training.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output

# How the numbers of a prediction are read: class logits as probabilities; depth as a distance (large is far) or as
# nearness (large is near, up to scale and shift).
Scoring = Literal["softmax", "softmax_with_null", "sigmoid", "distance", "nearness"]


def scoring_of(scoring: Scoring, num_classes: int) -> Scoring:
    """How the logits of that many classes are read: a softmax over one class is always 1, so one is read by a
    sigmoid."""
    return "sigmoid" if scoring == "softmax" and num_classes == 1 else scoring


class Prediction(FieldMapping):
    """A head's prediction. `losses` is set only by a head whose loss is part of its forward.

    (The field lists below are the contract; this class is the name that they share.)
    """


@register_output
@dataclass(eq=False)
class ClassScores(Prediction):
    """One class an image, or any number of them. `logits`: [batch, classes], before softmax; before sigmoid with one
    class, and where the criterion trains several classes an image (its `scoring`)."""

    logits: Tensor


@register_output
@dataclass(eq=False)
class DenseLogits(Prediction):
    """A class for every pixel. `logits`: [batch, classes, height, width], before softmax; of one class before sigmoid.

    `auxiliary`: logits of auxiliary heads, each [batch, classes, height, width].
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] | None = None


@register_output
@dataclass(eq=False)
class DenseDepth(Prediction):
    """How far or how near every pixel is, which `scoring` decides. `depth`: [batch, height, width]; metres if metric,
    else up to scale and shift."""

    depth: Tensor


@register_output
@dataclass(eq=False)
class MaskQueries(Prediction):
    """A set of masks, each with a class.

    `class_logits`: [batch, queries, classes + 1], before softmax; the last column is "no object".
    `mask_logits`: [batch, queries, height, width], before sigmoid.
    `auxiliary`: the same two for every earlier decoder layer, first layer first.
    """

    class_logits: Tensor
    mask_logits: Tensor
    auxiliary: tuple["MaskQueries", ...] | None = None


@register_output
@dataclass(eq=False)
class BoxQueries(Prediction):
    """A set of boxes, each with a class.

    `class_logits`: [batch, queries, classes (+ 1 with "no object", last)]; see the head's `scoring`.
    `boxes_cxcywh`: [batch, queries, 4], centre and size, in [0, 1] of the image without its padding.
    `auxiliary`: the same for every earlier decoder layer, first layer first. `proposals`: what an encoder proposed
    before the first layer, trained like one more layer. `denoising`: predictions for disturbed copies of the targets.
    `edge_logits`: [batch, queries, 4, bins], before softmax, how far the left, upper, right and lower edge are from
    where `reference_boxes` have them, in bins; [batch, queries, 4] as `boxes_cxcywh`. Of a head that predicts
    distributions, for the loss.
    """

    class_logits: Tensor
    boxes_cxcywh: Tensor
    auxiliary: tuple["BoxQueries", ...] | None = None
    proposals: "BoxQueries | None" = None
    denoising: "DenoisingQueries | None" = None
    edge_logits: Tensor | None = None
    reference_boxes: Tensor | None = None


@register_output
@dataclass(eq=False)
class DenoisingQueries(Prediction):
    """Predictions for denoising queries, noised copies of the ground-truth boxes; their loss needs no matching.

    `layers`: of every decoder layer, first to last, each [batch, groups x slots, ...]. `target_index`: int64
    [batch, queries], which of the image's boxes a query was made from; -1 for none. `is_positive`: bool
    [batch, queries], whether it should reconstruct that box or predict "no object".
    """

    layers: tuple[BoxQueries, ...]
    target_index: Tensor
    is_positive: Tensor


@register_output
@dataclass(eq=False)
class BoxCandidates(Prediction):
    """A box at every location of every level; they overlap, so post-processing suppresses doubles.

    Each field is a tuple by level, fine to coarse, of [batch, locations, ...]; locations by row, column, then anchor.
    `class_logits`: [batch, locations, classes], before sigmoid. `boxes_xyxy`: [batch, locations, 4] in pixels of the
    canvas. `regression`: [batch, locations, 4], the raw numbers that the boxes were decoded from, for the loss.
    `anchors_xyxy`: [locations, 4], what they are relative to. `quality_logits`: [batch, locations, 1], how well a box
    is centred, or None.
    """

    class_logits: tuple[Tensor, ...]
    boxes_xyxy: tuple[Tensor, ...]
    regression: tuple[Tensor, ...]
    anchors_xyxy: tuple[Tensor, ...]
    quality_logits: tuple[Tensor, ...] | None = None


@register_output
@dataclass(eq=False)
class Detections(Prediction):
    """Boxes that are final: as many an image as were found, so every field is a tuple by image.

    `boxes_xyxy`: float [N, 4] in pixels of the canvas. `scores`: float [N] in [0, 1]. `labels`: int64 [N], 0..C-1.
    `mask_probabilities`: float [N, 1, side, side], each mask on its own box, in [0, 1]; None of a head without masks.
    `losses`: weighted scalars by name, of a head whose loss is part of its forward; None without targets.
    """

    boxes_xyxy: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    mask_probabilities: tuple[Tensor, ...] | None = None
    losses: dict[str, Tensor] | None = None


@register_output
@dataclass(eq=False)
class Heatmaps(Prediction):
    """Where each keypoint may be. `heatmaps`: [batch, keypoints, height, width], high where the keypoint is."""

    heatmaps: Tensor


@register_output
@dataclass(eq=False)
class ModelOutput(FieldMapping):
    """What a composed model returns.

    `feature_maps`: the backbone's maps, fine to coarse, each [batch, channels, height, width];
    of a model without a head those of its last neck.
    `predictions`: the head's prediction; a dict of predictions by task with several heads; None without a head.
    `loss`: scalar, the sum of `losses`; None without targets. `losses`: every weighted term by name, scalars.
    `extras`: of a model without a head what its last neck returns beside its levels, by name (`mask_features`); None
    where there is nothing.
    """

    feature_maps: tuple[Tensor, ...]
    predictions: Prediction | dict[str, Prediction] | None = None
    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    extras: dict[str, Tensor] | None = None
