"""Masks with classes to things, each with its own mask; masks may overlap."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbonekit.contract.predictions import MaskQueries, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.classes import class_probabilities
from backbonekit.postprocessing.window import Window, on_image, resample, strips, window_of


def separate_instances(
    prediction: MaskQueries,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring = "softmax_with_null",
    threshold: float = 0.5,
    top_k: int | None = None,
    things: frozenset[int] | None = None,
) -> list[InstanceResult]:
    """The `top_k` (as many as queries) best pairs of query and class whose score reaches `threshold`, best first.

    A score is the class probability times the mean mask probability within the mask. A mask is where the mask logit,
    resampled to the image, is above 0; empty masks are left out. With `things`, stuff is left out.
    Source: Mask2Former (Cheng et al., 2022), github.com/facebookresearch/Mask2Former
    `maskformer_model.py: instance_inference`.
    """
    classes = class_probabilities(upcast_to_float32(prediction.class_logits), scoring)
    return [
        _of_image(probabilities, upcast_to_float32(mask_logits), geometry, threshold, top_k, things)
        for probabilities, mask_logits, geometry in zip(classes, prediction.mask_logits, geometries, strict=True)
    ]


def _of_image(
    probabilities: Tensor,
    mask_logits: Tensor,
    geometry: Geometry,
    threshold: float,
    top_k: int | None,
    things: frozenset[int] | None,
) -> InstanceResult:
    queries, num_classes = probabilities.shape
    window = window_of(geometry, (mask_logits.shape[-2], mask_logits.shape[-1]))
    scores, flat = probabilities.flatten().topk(min(top_k or queries, queries * num_classes))
    query, labels = flat // num_classes, flat % num_classes
    scores = scores * _mask_scores(mask_logits, window)[query]
    kept = scores >= threshold
    if things is not None:
        kept &= torch.isin(labels, torch.tensor(sorted(things), dtype=labels.dtype, device=labels.device))
    scores, query, labels = scores[kept], query[kept], labels[kept]
    order = scores.argsort(descending=True, stable=True)
    kept_masks = _masks(mask_logits[query[order]], window)
    filled = kept_masks.flatten(1).any(dim=1)
    masks_left = kept_masks[filled]
    return InstanceResult(
        labels=labels[order].cpu()[filled],
        scores=scores[order].cpu().float()[filled],
        boxes_xyxy=mask_boxes(masks_left),
        masks=masks_left,
    )


def _masks(mask_logits: Tensor, window: Window) -> Tensor:
    """bool [N, height, width] in the original image: where the resampled logit is above 0."""
    if not len(mask_logits):
        return torch.zeros((0, *window.original), dtype=torch.bool)
    # In strips: a hundred masks at 4000 x 3000 are 5 GB as floats and 1.2 GB as bools.
    parts = [(resample(mask_logits, window, rows=rows) > 0).cpu() for rows in strips(window, len(mask_logits))]
    return on_image(torch.cat(parts, dim=1), window, 0)


def _mask_scores(mask_logits: Tensor, window: Window) -> Tensor:
    """[queries]: mean probability over the mask's own cells, padding left out."""
    real = mask_logits[:, : window.cells[0], : window.cells[1]].flatten(1)
    inside = (real > 0).to(real.dtype)
    return (real.sigmoid() * inside).sum(dim=1) / (inside.sum(dim=1) + 1e-6)


def mask_boxes(masks: Tensor) -> Tensor:
    """The tightest boxes around masks: bool [N, height, width], none empty -> float [N, 4], xyxy, right and lower edge
    exclusive, so that a mask of one pixel has a box of area 1."""
    if not len(masks):
        return torch.zeros((0, 4))
    columns, rows = masks.any(dim=1), masks.any(dim=2)
    edges = [_first(columns), _first(rows), _last(columns), _last(rows)]
    return torch.stack(edges, dim=1).float()


def _first(lines: Tensor) -> Tensor:
    return lines.int().argmax(dim=1)


def _last(lines: Tensor) -> Tensor:
    return lines.shape[1] - lines.flip(1).int().argmax(dim=1)
