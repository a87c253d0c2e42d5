"""What of a result is drawn: what reaches a score. Scores of NaN, as targets have, always do."""

from dataclasses import replace

import torch
from torch import Tensor

from backbonekit.contract.results import ClassResult, InstanceResult, KeypointResult, PanopticResult


def classes_above(result: ClassResult, threshold: float) -> ClassResult:
    kept = _reaches(result.scores, threshold)
    return ClassResult(result.labels[kept], result.scores[kept])


def things_above(result: InstanceResult, threshold: float) -> InstanceResult:
    kept = _reaches(result.scores, threshold)
    masks = None if result.masks is None else result.masks[kept]
    return InstanceResult(result.labels[kept], result.scores[kept], result.boxes_xyxy[kept], masks)


def segments_above(result: PanopticResult, threshold: float) -> PanopticResult:
    return replace(result, segments=[one for one in result.segments if not one.score < threshold])


def keypoints_above(result: KeypointResult, threshold: float) -> KeypointResult:
    lost = ~_reaches(result.scores, threshold)
    return replace(result, keypoints=result.keypoints.masked_fill(lost[:, None], torch.nan))


def _reaches(scores: Tensor, threshold: float) -> Tensor:
    return ~(scores < threshold)
