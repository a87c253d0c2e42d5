"""Targets and predictions of dense detectors: the levels of a prediction concatenated, for the images with targets."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Targets
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import BoxTargets, check_labels, read_box_targets


@dataclass(slots=True)
class Candidates:
    """The levels of `BoxCandidates` concatenated, for the images that have targets. `real`: whether the anchor's
    centre is on the image; anchors on padding count in no term."""

    class_logits: Float[Tensor, "images anchors classes"]
    boxes_xyxy: Float[Tensor, "images anchors 4"]
    regression: Float[Tensor, "images anchors 4"]
    anchors_xyxy: Float[Tensor, "anchors 4"]
    quality_logits: Float[Tensor, "images anchors"] | None
    real: Bool[Tensor, "images anchors"]


def read_dense_box_targets(targets: Targets, canvas: Canvas, *, num_classes: int, like: Tensor) -> BoxTargets | None:
    """The targets of the images that have `labels` and `boxes`, with at least one column, so that `gather` has one to
    read; None when no image has them. Raises ContractError for an invalid box and for a label that is not a class."""
    box_targets = read_box_targets(targets, canvas, like=like)
    if box_targets is None:
        return None
    check_labels(box_targets.labels, num_classes, key="labels")
    if box_targets.labels.shape[1]:
        return box_targets
    return replace(
        box_targets,
        labels=functional.pad(box_targets.labels, (0, 1)),
        boxes_cxcywh=functional.pad(box_targets.boxes_cxcywh, (0, 0, 0, 1)),
        boxes_xyxy=functional.pad(box_targets.boxes_xyxy, (0, 0, 0, 1)),
        present=functional.pad(box_targets.present, (0, 1)),
    )


def concatenate_levels(prediction: BoxCandidates, box_targets: BoxTargets, canvas: Canvas) -> Candidates:
    """All levels of a prediction as one, in at least float32."""

    def joined(levels: tuple[Tensor, ...]) -> Tensor:
        return upcast_to_float32(box_targets.select_images(torch.cat(levels, dim=1)))

    anchors = torch.cat(prediction.anchors_xyxy)
    quality = None if prediction.quality_logits is None else joined(prediction.quality_logits).squeeze(-1)
    return Candidates(
        class_logits=joined(prediction.class_logits),
        boxes_xyxy=joined(prediction.boxes_xyxy),
        regression=joined(prediction.regression),
        anchors_xyxy=anchors,
        quality_logits=quality,
        real=_on_the_image(anchors, box_targets, canvas),
    )


def _on_the_image(anchors: Tensor, box_targets: BoxTargets, canvas: Canvas) -> Tensor:
    if canvas.pixel_mask is None:
        return torch.ones(len(box_targets.images), anchors.shape[0], dtype=torch.bool, device=anchors.device)
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2).long()
    columns = centres[:, 0].clamp(0, canvas.size[1] - 1)
    rows = centres[:, 1].clamp(0, canvas.size[0] - 1)
    return box_targets.select_images(canvas.pixel_mask)[:, rows, columns]
