"""Boxes of any detector in the original image's pixels: box queries (DETR), dense boxes (RetinaNet, FCOS), and final
detections (R-CNN)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms

from backbonekit.contract.predictions import BoxCandidates, BoxQueries, Detections, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.classes import class_probabilities

CANDIDATES_A_LEVEL = 1000  # as in RetinaNet and FCOS
MOST_BOXES = 100  # as COCO's evaluation counts
MASK_THRESHOLD = 0.5


def best_boxes(prediction: BoxQueries, *, scoring: Scoring, top_k: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Scores in [0, 1], labels and the queries that they belong to, each [batch, k], best first.

    Softmax: each query has its best class. Sigmoid: the `top_k` (as many as queries) best pairs of query and class, so
    that a query can appear under two classes.
    """
    probabilities = class_probabilities(upcast_to_float32(prediction.class_logits), scoring)
    queries, num_classes = probabilities.shape[1:]
    if scoring == "sigmoid":
        scores, flat = probabilities.flatten(1).topk(min(top_k or queries, queries * num_classes), dim=1)
        return scores, flat % num_classes, flat // num_classes
    best, best_labels = probabilities.max(dim=-1)
    scores, query = best.topk(min(top_k or queries, queries), dim=1)
    return scores, best_labels.gather(1, query), query


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """[..., 4], centre and size -> x0 y0 x1 y1."""
    centre, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def detect(
    prediction: BoxQueries,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring,
    threshold: float = 0.5,
    top_k: int | None = None,
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, clipped to the image. No non-maximum suppression.

    Which boxes, and `top_k`: see `best_boxes`. Boxes are relative to the image without its padding.
    Source: DETR (Carion et al., 2020) `PostProcess`; Deformable DETR (Zhu et al., 2021) `PostProcess`.
    """
    scores, labels, query = best_boxes(prediction, scoring=scoring, top_k=top_k)
    results = []
    for index, geometry in enumerate(geometries):
        kept = scores[index] > threshold
        boxes = upcast_to_float32(prediction.boxes_cxcywh[index])[query[index][kept]]
        results.append(
            InstanceResult(
                labels=labels[index][kept].cpu(),
                scores=scores[index][kept].cpu().float(),
                boxes_xyxy=on_original(_on_canvas(boxes, geometry), geometry).cpu().float(),
            )
        )
    return results


def _on_canvas(boxes_cxcywh: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in [0, 1] of the image without its padding -> xyxy in pixels of the canvas."""
    height, width = geometry.shown
    return corners(boxes_cxcywh) * boxes_cxcywh.new_tensor([width, height, width, height])


def suppress(
    prediction: BoxCandidates,
    geometries: Sequence[Geometry],
    *,
    threshold: float = 0.5,
    top_k: int | None = None,
    nms_threshold: float = 0.5,
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, clipped to the image; of boxes of one class that overlap by more
    than `nms_threshold` (IoU) only the best. `top_k`: how many at most (100).

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
    """(boxes, scores, labels) of one image's best pairs of position and class on one level."""
    scores = upcast_to_float32(prediction.class_logits[level][index]).sigmoid()
    if prediction.quality_logits is not None:
        scores = (scores * upcast_to_float32(prediction.quality_logits[level][index]).sigmoid()).sqrt()
    num_classes = scores.shape[-1]
    best, flat = scores.flatten().topk(min(CANDIDATES_A_LEVEL, scores.numel()))
    kept = best > threshold
    best, flat = best[kept], flat[kept]
    boxes = upcast_to_float32(prediction.boxes_xyxy[level][index])[flat // num_classes]
    return boxes, best, flat % num_classes


def place_detections(
    prediction: Detections, geometries: Sequence[Geometry], *, threshold: float = 0.5, top_k: int | None = None
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, with their masks pasted into the image.

    `top_k`: how many at most.

    Source: He et al., Mask R-CNN (2017), section 3.1; torchvision/models/detection/transform.py: postprocess.
    """
    results = []
    for index, geometry in enumerate(geometries):
        scores = prediction.scores[index]
        kept = (scores > threshold).nonzero()[:, 0][:top_k]  # the head returns the best first
        boxes = on_original(within_shown(prediction.boxes_xyxy[index][kept], geometry), geometry).cpu().float()
        results.append(
            InstanceResult(
                labels=prediction.labels[index][kept].cpu(),
                scores=scores[kept].cpu().float(),
                boxes_xyxy=boxes,
                masks=None
                if prediction.mask_probabilities is None
                else _pasted(prediction.mask_probabilities[index][kept].cpu().float(), boxes, geometry.original),
            )
        )
    return results


def _pasted(probabilities: Tensor, boxes_xyxy: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, 1, side, side] on boxes -> bool [N, height, width] on the image."""
    return paste_masks_in_image(probabilities, boxes_xyxy, size)[:, 0] > MASK_THRESHOLD


def within_shown(boxes_xyxy: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in pixels of the canvas, clipped to the part that shows the image."""
    return torch.minimum(boxes_xyxy.clamp(min=0), _pair(geometry.shown, boxes_xyxy))


def on_original(boxes_xyxy: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in pixels of the canvas -> in pixels of the original image, clipped to it."""
    scale = _pair(geometry.original, boxes_xyxy) / _pair(geometry.resized, boxes_xyxy)
    boxes = (boxes_xyxy + _pair(geometry.crop_offset, boxes_xyxy)) * scale
    return torch.minimum(boxes.clamp(min=0), _pair(geometry.original, boxes_xyxy))


def _pair(size: tuple[int, int], like: Tensor) -> Tensor:
    """(height, width) -> width, height, width, height."""
    return like.new_tensor([size[1], size[0], size[1], size[0]])
