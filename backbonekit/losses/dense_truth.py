"""What losses that judge every place of every level read: the true boxes, and all levels side by side."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Targets
from backbonekit.ops.box_truth import BoxTruth, read_boxes
from backbonekit.ops.label_check import check_labels
from backbonekit.ops.precision import at_least_single


@dataclass(slots=True)
class Candidates:
    """The levels of `BoxCandidates` side by side, for the images that have a truth. `real`: bool [P, places], whether
    the anchor's centre lies on the image; padding is judged for nothing."""

    class_logits: Float[Tensor, "images places classes"]
    boxes_xyxy: Float[Tensor, "images places 4"]
    regression: Float[Tensor, "images places 4"]
    anchors_xyxy: Float[Tensor, "places 4"]
    quality_logits: Float[Tensor, "images places"] | None
    real: Bool[Tensor, "images places"]


def read_dense_truth(targets: Targets, canvas: Canvas, *, num_classes: int, like: Tensor) -> BoxTruth | None:
    """The truth of those images that have `labels` and `boxes`, None when no image has; at least one column, so
    that there is something to gather from. Raises ContractError for what is no box, and a label that is no class."""
    truth = read_boxes(targets, canvas, like=like)
    if truth is None:
        return None
    check_labels(truth.labels, num_classes, key="labels")
    if truth.labels.shape[1]:
        return truth
    return replace(
        truth,
        labels=functional.pad(truth.labels, (0, 1)),
        boxes_cxcywh=functional.pad(truth.boxes_cxcywh, (0, 0, 0, 1)),
        boxes_xyxy=functional.pad(truth.boxes_xyxy, (0, 0, 0, 1)),
        present=functional.pad(truth.present, (0, 1)),
    )


def side_by_side(prediction: BoxCandidates, truth: BoxTruth, canvas: Canvas) -> Candidates:
    """All levels of a prediction as one, in at least float32."""

    def joined(levels: tuple[Tensor, ...]) -> Tensor:
        return at_least_single(truth.rows_of(torch.cat(levels, dim=1)))

    anchors = torch.cat(prediction.anchors_xyxy)
    quality = None if prediction.quality_logits is None else joined(prediction.quality_logits).squeeze(-1)
    return Candidates(
        class_logits=joined(prediction.class_logits),
        boxes_xyxy=joined(prediction.boxes_xyxy),
        regression=joined(prediction.regression),
        anchors_xyxy=anchors,
        quality_logits=quality,
        real=_on_the_image(anchors, truth, canvas),
    )


def _on_the_image(anchors: Tensor, truth: BoxTruth, canvas: Canvas) -> Tensor:
    if canvas.pixel_mask is None:
        return torch.ones(len(truth.images), anchors.shape[0], dtype=torch.bool, device=anchors.device)
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2).long()
    columns = centres[:, 0].clamp(0, canvas.size[1] - 1)
    rows = centres[:, 1].clamp(0, canvas.size[0] - 1)
    return truth.rows_of(canvas.pixel_mask)[:, rows, columns]
