"""Boxes of a text annotation as a target."""

from collections.abc import Sequence
from typing import Any

import torch

from backbonekit.contract.target_values import check_boxes
from backbonekit.image_processing.coco import cut_boxes

Corners = Sequence[float]  # x0, y0, x1, y1


def box_target(
    corners: Sequence[Corners], labels: Sequence[int], size: tuple[int, int], ignored: Sequence[bool] | None = None
) -> dict[str, Any]:
    """`boxes` in pixels cut to an image of `size` (height, width), `labels`; with `ignored` also `iscrowd`: objects
    that neither training nor evaluation counts. Raises ContractError for a box that is inverted or outside."""
    boxes = torch.tensor(list(corners), dtype=torch.float32).reshape(-1, 4)
    check_boxes(boxes, size, image=0)
    boxes = cut_boxes(boxes, size)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    target: dict[str, Any] = {"boxes": boxes[kept], "labels": torch.tensor(list(labels), dtype=torch.int64)[kept]}
    if ignored is not None:
        target["iscrowd"] = torch.tensor(list(ignored), dtype=torch.bool)[kept]
    return target
