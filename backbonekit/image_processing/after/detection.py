"""Box queries to boxes in the picture's own pixels. No suppression of doubles: set prediction has none."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbonekit.contract.answers import BoxQueries, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.image_processing.after.scores import class_probabilities
from backbonekit.ops.precision import at_least_single


def detect(
    answer: BoxQueries,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring,
    threshold: float = 0.5,
    top_k: int | None = None,
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, cut to the picture.

    Softmax: each query has its best class. Sigmoid: the `top_k` (as many as queries) best pairs of query and class, so
    that a query can appear under two classes. Boxes are relative to the picture without its padding.
    Source: DETR (Carion et al., 2020) `PostProcess`; Deformable DETR (Zhu et al., 2021) `PostProcess`.
    """
    probabilities = class_probabilities(at_least_single(answer.class_logits), scoring)
    queries, num_classes = probabilities.shape[1:]
    if scoring == "sigmoid":
        scores, flat = probabilities.flatten(1).topk(min(top_k or queries, queries * num_classes), dim=1)
        query, labels = flat // num_classes, flat % num_classes
    else:
        best, best_labels = probabilities.max(dim=-1)
        scores, query = best.topk(min(top_k or queries, queries), dim=1)
        labels = best_labels.gather(1, query)
    results = []
    for index, geometry in enumerate(geometries):
        kept = scores[index] > threshold
        boxes = at_least_single(answer.boxes_cxcywh[index])[query[index][kept]]
        results.append(
            InstanceResult(
                labels=labels[index][kept].cpu(),
                scores=scores[index][kept].cpu().float(),
                boxes_xyxy=_on_original(boxes, geometry).cpu().float(),
            )
        )
    return results


def _on_original(boxes_cxcywh: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in [0, 1] of what was shown -> xyxy in the original picture's pixels."""
    centre, size = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:]
    corners = torch.cat([centre - size / 2, centre + size / 2], dim=1)

    def pair(size: tuple[int, int]) -> Tensor:  # (height, width) -> width, height, width, height
        return corners.new_tensor([size[1], size[0], size[1], size[0]])

    boxes = (corners * pair(geometry.shown) + pair(geometry.crop_offset)) * (
        pair(geometry.original) / pair(geometry.resized)
    )
    return torch.minimum(boxes.clamp(min=0), pair(geometry.original))
