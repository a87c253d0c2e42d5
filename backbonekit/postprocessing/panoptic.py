"""Masks with classes to one segment for every pixel: each thing its own, each stuff class one."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from backbonekit.contract.predictions import MaskQueries, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import PanopticResult, Segment
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.window import Window, on_image, resample, strips, window_of


def segment_panoptic(
    prediction: MaskQueries,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring = "softmax_with_null",
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_threshold: float = 0.8,
    stuff: frozenset[int] = frozenset(),
) -> list[PanopticResult]:
    """Queries whose best class is an object's and scores above `threshold` compete for the pixels, mask probability
    times class probability; a query that keeps at most `overlap_threshold` of what it claims is left out.

    What a query claims: pixels where that product reaches `mask_threshold`, as in transformers (the paper's code takes
    the mask probability alone). Queries of one `stuff` class share a segment, with the best of their scores.
    Source: MaskFormer (Cheng et al., 2021), section 3.4; transformers `MaskFormerImageProcessor`.
    """
    logits = upcast_to_float32(prediction.class_logits)
    num_classes = logits.shape[-1] - (scoring == "softmax_with_null")
    probabilities = logits.sigmoid() if scoring == "sigmoid" else logits.softmax(dim=-1)
    scores, labels = probabilities.max(dim=-1)
    results = []
    for index, geometry in enumerate(geometries):
        kept = (labels[index] < num_classes) & (scores[index] > threshold)
        masks = upcast_to_float32(prediction.mask_logits[index][kept]).sigmoid() * scores[index][kept][:, None, None]
        window = window_of(geometry, (masks.shape[-2], masks.shape[-1]))
        winner, areas, claims = _compete(masks, window, mask_threshold)
        remains = (areas > 0) & (claims > 0) & (areas / claims > overlap_threshold)
        candidates = zip(remains.tolist(), labels[index][kept].tolist(), scores[index][kept].tolist(), strict=True)
        identifiers, segments = _number(list(candidates), stuff)
        segmentation = identifiers[winner] if len(masks) else winner
        results.append(PanopticResult(on_image(segmentation, window, 0), segments))
    return results


def _compete(masks: Tensor, window: Window, mask_threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """(winner int64 [height, width], pixels won [N], pixels claimed [N]), on the CPU; winner is 0 without masks."""
    count = len(masks)
    if not count:
        return torch.zeros(len(window.rows), len(window.columns), dtype=torch.int64), torch.zeros(0), torch.zeros(0)
    winners = []
    claims = torch.zeros(count, dtype=torch.float64)
    for rows in strips(window, count):
        strip = resample(masks, window, rows=rows)
        winners.append(strip.max(dim=0).indices.cpu())  # several times as fast as argmax over the first dimension
        claims += (strip >= mask_threshold).flatten(1).sum(dim=1).cpu()
    winner = torch.cat(winners)
    areas = torch.bincount(winner.flatten(), minlength=count).double()
    return winner, areas, claims


def _number(candidates: list[tuple[bool, int, float]], stuff: frozenset[int]) -> tuple[Tensor, list[Segment]]:
    """The segment of each candidate (0: none), and the segments; `candidates` are (remains, label, score)."""
    identifiers, segments = [], []
    shared: dict[int, int] = {}  # stuff label -> position among segments
    for remains, label, score in candidates:
        if not remains:
            identifiers.append(0)
        elif label in shared:
            segment = segments[shared[label]]
            segments[shared[label]] = replace(segment, score=max(segment.score, score))
            identifiers.append(segment.identifier)
        else:
            if label in stuff:
                shared[label] = len(segments)
            segments.append(Segment(len(segments) + 1, label, score, was_fused=label in stuff))
            identifiers.append(len(segments))
    return torch.tensor(identifiers, dtype=torch.int64), segments
