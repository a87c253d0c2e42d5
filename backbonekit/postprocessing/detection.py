"""Box queries to boxes in the image's own pixels. No suppression of doubles: set prediction has none."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.box_geometry import on_original
from backbonekit.postprocessing.scores import class_probabilities


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
    """Boxes that score above `threshold`, best first, cut to the image.

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
    """[N, 4] in [0, 1] of what was shown -> xyxy in pixels of the canvas."""
    height, width = geometry.shown
    return corners(boxes_cxcywh) * boxes_cxcywh.new_tensor([width, height, width, height])
