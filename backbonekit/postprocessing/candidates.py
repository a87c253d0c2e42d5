"""Overlapping boxes from every place of every level to one box a thing, in the image's own pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.box_geometry import on_original, within_shown

CANDIDATES_A_LEVEL = 1000  # as in RetinaNet and FCOS
MOST_BOXES = 100  # as COCO's evaluation counts


def suppress(
    prediction: BoxCandidates,
    geometries: Sequence[Geometry],
    *,
    threshold: float = 0.5,
    top_k: int | None = None,
    nms_threshold: float = 0.5,
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, cut to the image; of boxes of one class that overlap by more
    than `nms_threshold` (IoU) only the best. `top_k`: how many at most, 100 if nobody says.

    A score is the class's; where the prediction has a quality, the geometric mean of both.
    Source: Lin et al., RetinaNet (2017), section 4.1; Tian et al., FCOS (2019), section 3.3.
    """
    results = []
    for index, geometry in enumerate(geometries):
        levels = [_best_of_level(prediction, level, index, threshold) for level in range(len(prediction.class_logits))]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*levels, strict=True))
        boxes = within_shown(boxes, geometry)
        kept = batched_nms(boxes, scores, labels, nms_threshold)[: top_k or MOST_BOXES]
        results.append(
            InstanceResult(
                labels=labels[kept].cpu(),
                scores=scores[kept].cpu().float(),
                boxes_xyxy=on_original(boxes[kept], geometry).cpu().float(),
            )
        )
    return results


def _best_of_level(
    prediction: BoxCandidates, level: int, index: int, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(boxes, scores, labels) of one image's best pairs of place and class on one level."""
    scores = upcast_to_float32(prediction.class_logits[level][index]).sigmoid()
    if prediction.quality_logits is not None:
        scores = (scores * upcast_to_float32(prediction.quality_logits[level][index]).sigmoid()).sqrt()
    num_classes = scores.shape[-1]
    best, flat = scores.flatten().topk(min(CANDIDATES_A_LEVEL, scores.numel()))
    kept = best > threshold
    best, flat = best[kept], flat[kept]
    boxes = upcast_to_float32(prediction.boxes_xyxy[level][index])[flat // num_classes]
    return boxes, best, flat % num_classes
