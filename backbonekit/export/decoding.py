"""Post-processing inside an exported file: what a prediction says, in tensors whose sizes depend on no value.

Everything is in pixels of the input: what was padded, cropped and resized before it is undone by who reads the file.
Nothing is left out below a threshold; who reads the file compares `scores`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.predictions import (
    BoxCandidates,
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    Heatmaps,
    MaskQueries,
    Prediction,
    Scoring,
    scoring_of,
)
from backbonekit.errors import ContractError, nearest
from backbonekit.ops.heatmaps import cells_to_canvas
from backbonekit.postprocessing.boxes import MOST_BOXES, best_boxes, corners
from backbonekit.postprocessing.classes import class_probabilities
from backbonekit.postprocessing.keypoints import peaks

CANDIDATES = 1000  # boxes that suppression compares, of all levels together
NMS_THRESHOLD = 0.5  # as `postprocessing.boxes.suppress`
_NMS_STEPS = 32  # see `_survivors`


@dataclass(frozen=True, slots=True)
class Input:
    """What a decoder knows of its input. `size`: (height, width). `shown`: [batch, 2], height and width of the part
    that shows the image, or None where there is no mask."""

    size: tuple[int, int]
    shown: Tensor | None


@dataclass(frozen=True, slots=True)
class Decoder:
    """Reads the prediction of one task. `reading`: one of the keys of `DECODINGS` for its kind. `things`: the classes
    that instances are of; None: all."""

    kind: type[Prediction]
    reading: str
    scoring: Scoring
    ignore_label: int
    things: frozenset[int] | None = None

    def __call__(self, prediction: Prediction, size: tuple[int, int], pixel_mask: Tensor | None) -> dict[str, Tensor]:
        shown = None
        if pixel_mask is not None:
            shown = torch.stack([pixel_mask.any(dim=2).sum(dim=1), pixel_mask.any(dim=1).sum(dim=1)], dim=1)
        return DECODINGS[self.kind][self.reading](prediction, self, Input(size, shown))


def decoder_of(
    kind: type[Prediction], reading: str, scoring: Scoring, ignore_label: int, things: frozenset[int] | None
) -> Decoder:
    """Raises ContractError where there is nothing that decodes this kind of prediction in this way."""
    readings = DECODINGS.get(kind, {})
    if reading not in readings:
        name = kind.__name__
        if not readings:
            raise ContractError(f"export: nothing decodes a prediction of kind {name}. The fix: decode=False.")
        raise ContractError(
            f"export: a file cannot read a prediction of kind {name} as {reading!r}, since the number of its results "
            f"depends on the image; {nearest(reading, tuple(readings))} The fix: task={next(iter(readings))!r}, or "
            f"decode=False."
        )
    return Decoder(kind, reading, scoring, ignore_label, things)


def _classes(prediction: ClassScores, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    scoring = scoring_of(decoder.scoring, prediction.logits.shape[-1])
    return {"scores": class_probabilities(prediction.logits.float(), scoring)}


def _pixels(prediction: DenseLogits, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    classes = prediction.logits.shape[1]
    logits = functional.interpolate(prediction.logits.float(), size=given.size, mode="bilinear", align_corners=False)
    if classes == 1:
        return {"segmentation": (logits[:, 0] >= 0).long()}
    best, labels = logits.max(dim=1)
    if decoder.scoring == "sigmoid":
        labels = labels.where(best >= 0, torch.full_like(labels, decoder.ignore_label))
    return {"segmentation": labels}


def _depth(prediction: DenseDepth, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    depth = prediction.depth.float()[:, None]
    return {"depth": functional.interpolate(depth, size=given.size, mode="bicubic", align_corners=False)[:, 0]}


def _pixels_of_masks(prediction: MaskQueries, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    probabilities = class_probabilities(prediction.class_logits.float(), decoder.scoring)
    maps = torch.einsum("bqc,bqhw->bchw", probabilities, prediction.mask_logits.float().sigmoid())
    maps = functional.interpolate(maps, size=given.size, mode="bilinear", align_corners=False)
    if maps.shape[1] == 1:
        return {"segmentation": (maps[:, 0] >= 0.5).long()}
    return {"segmentation": maps.argmax(dim=1)}


def _instances(prediction: MaskQueries, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    """As many as queries, best first; stuff has the score 0. `masks`: bool [batch, queries, height, width]."""
    probabilities = class_probabilities(prediction.class_logits.float(), decoder.scoring)
    queries, num_classes = probabilities.shape[1:]
    scores, flat = probabilities.flatten(1).topk(queries, dim=1)
    query, labels = flat // num_classes, flat % num_classes
    logits = prediction.mask_logits.float()
    scores = scores * _mask_scores(logits, given).gather(1, query)
    if decoder.things is not None:
        is_thing = logits.new_tensor([float(label in decoder.things) for label in range(num_classes)])
        scores = scores * is_thing[labels]
    scores, order = scores.sort(dim=1, descending=True)
    query = query.gather(1, order)
    logits = logits.gather(1, query[:, :, None, None].expand(-1, -1, *logits.shape[-2:]))
    masks = functional.interpolate(logits, size=given.size, mode="bilinear", align_corners=False) > 0
    return {"scores": scores, "labels": labels.gather(1, order), "masks": masks}


def _mask_scores(mask_logits: Tensor, given: Input) -> Tensor:
    """[batch, queries]: mean probability over the mask's own cells, padding left out."""
    inside = (mask_logits > 0).to(mask_logits.dtype)
    if given.shown is not None:
        for axis in (0, 1):
            cells = mask_logits.shape[2 + axis]
            # As `window_of`: a cell counts where any of its pixels is real.
            real = (
                torch.arange(cells, device=mask_logits.device) * given.size[axis] < given.shown[:, axis, None] * cells
            )
            inside = inside * (real[:, None, :, None] if axis == 0 else real[:, None, None])
    return (mask_logits.sigmoid() * inside).sum(dim=(2, 3)) / (inside.sum(dim=(2, 3)) + 1e-6)


def _boxes(prediction: BoxQueries, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    scores, labels, query = best_boxes(prediction, scoring=decoder.scoring)
    boxes = corners(prediction.boxes_cxcywh.float().gather(1, query[:, :, None].expand(-1, -1, 4)))
    if given.shown is None:
        size = boxes.new_tensor([given.size[1], given.size[0], given.size[1], given.size[0]])
    else:
        size = given.shown.to(boxes.dtype)[:, [1, 0, 1, 0]][:, None]
    boxes = boxes * size
    return {"scores": scores.float(), "labels": labels, "boxes_xyxy": torch.minimum(boxes.clamp(min=0), size)}


def _suppressed(prediction: BoxCandidates, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    """The 100 best, best first; where fewer are left by suppression, the rest has the score 0."""
    scores = torch.cat([logits.float().sigmoid() for logits in prediction.class_logits], dim=1)
    if prediction.quality_logits is not None:
        scores = (scores * torch.cat([logits.float().sigmoid() for logits in prediction.quality_logits], dim=1)).sqrt()
    num_classes = scores.shape[-1]
    best, flat = scores.flatten(1).topk(min(CANDIDATES, scores.shape[1] * num_classes), dim=1)
    labels = flat % num_classes
    all_boxes = torch.cat([boxes.float() for boxes in prediction.boxes_xyxy], dim=1)
    boxes = all_boxes.gather(1, (flat // num_classes)[:, :, None].expand(-1, -1, 4)).clamp(min=0)
    size = boxes.new_tensor([given.size[1], given.size[0], given.size[1], given.size[0]])
    boxes = torch.minimum(boxes, size if given.shown is None else given.shown.to(boxes.dtype)[:, [1, 0, 1, 0]][:, None])
    best = best * _survivors(boxes, labels)
    count = min(MOST_BOXES, best.shape[1])
    scores, order = best.topk(count, dim=1)
    boxes = boxes.gather(1, order[:, :, None].expand(-1, -1, 4))
    return {"scores": scores, "labels": labels.gather(1, order), "boxes_xyxy": boxes}


def _survivors(boxes: Tensor, labels: Tensor) -> Tensor:
    """Greedy suppression without a loop whose length depends on values: bool [batch, N] for boxes [batch, N, 4], best
    first. A box is left out where a better one of its class, itself left, overlaps it.

    Each step settles every box whose chain of better, overlapping ones is one longer; 32 steps settle the first 32
    boxes and all chains that are no longer. Chains of real detections have fewer than ten.
    """
    overlap = _overlaps(boxes)
    count = boxes.shape[1]
    better = torch.ones(count, count, dtype=torch.bool, device=boxes.device).triu(diagonal=1)
    # threatens[b, i, j]: box i is better than box j, of its class, and overlaps it
    threatens = ((overlap > NMS_THRESHOLD) & (labels[:, :, None] == labels[:, None]) & better).to(boxes.dtype)
    kept = torch.ones(boxes.shape[:2], dtype=boxes.dtype, device=boxes.device)
    for _ in range(_NMS_STEPS):
        kept = ((kept[:, None] @ threatens)[:, 0] < 0.5).to(boxes.dtype)
    return kept


def _overlaps(boxes: Tensor) -> Tensor:
    """[batch, N, N], intersection over union of boxes [batch, N, 4]."""
    upper_left = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    lower_right = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    inside = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)
    return inside / (area[:, :, None] + area[:, None] - inside).clamp(min=1e-9)


def _keypoints(prediction: Heatmaps, decoder: Decoder, given: Input) -> dict[str, Tensor]:
    """`keypoints`: [batch, keypoints, 2], x and y. Padding is searched too: top-down pose has none."""
    batch, count, height, width = prediction.heatmaps.shape
    cells, scores = peaks(prediction.heatmaps.float().flatten(0, 1))
    points = cells_to_canvas(cells, (height, width), given.size)
    return {"keypoints": points.unflatten(0, (batch, count)), "scores": scores.unflatten(0, (batch, count))}


# By the kind of prediction, then by what it is read as; the first is the default where nothing else is.
DECODINGS: Mapping[type[Prediction], Mapping[str, Callable[[Any, Decoder, Input], dict[str, Tensor]]]] = {
    ClassScores: {"classification": _classes},
    DenseLogits: {"semantic": _pixels},
    DenseDepth: {"depth": _depth},
    MaskQueries: {"semantic": _pixels_of_masks, "instance": _instances},
    BoxQueries: {"detection": _boxes},
    BoxCandidates: {"detection": _suppressed},
    Heatmaps: {"keypoints": _keypoints},
}
# Outputs that are a set: two runs may return them in another order, where scores are equal within rounding.
SETS: Mapping[tuple[type[Prediction], str], tuple[str, ...]] = {
    (MaskQueries, "instance"): ("scores", "labels", "masks"),
    (BoxQueries, "detection"): ("scores", "labels", "boxes_xyxy"),
    (BoxCandidates, "detection"): ("scores", "labels", "boxes_xyxy"),
}
