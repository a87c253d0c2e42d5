"""The segmentations of a batch as one tensor of labels on the canvas."""

import torch
import torch.nn.functional as functional
from jaxtyping import Int
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.ops.targets import check_labels, check_no_mask_values, images_at


def read_class_maps(
    targets: Targets, canvas: Canvas, *, num_classes: int, ignore_label: int, is_assumed: bool, device: torch.device
) -> tuple[Int[Tensor, "known height width"] | None, list[int]]:
    """(labels, the images that have the key `segmentation`); None and [] where no image has it.

    `num_classes`: one class has the labels 0 (everything else) and 1. `is_assumed`: nobody chose the ignored label.
    Padding has the ignored label, whatever the map holds there. Raises ContractError for a map of another shape or
    larger than the canvas, and on the CPU for labels that are no classes.
    """
    given = {index: target["segmentation"] for index, target in enumerate(targets) if "segmentation" in target}
    if not given:
        return None, []
    maps = [_on_canvas(index, labels.to(device).long(), canvas, ignore_label) for index, labels in given.items()]
    known, labels = list(given), torch.stack(maps)
    if canvas.pixel_mask is not None:
        labels = labels.masked_fill(~images_at(canvas.pixel_mask, known), ignore_label)
    if is_assumed:
        for index, one in given.items():
            pixel_mask = None if canvas.pixel_mask is None else canvas.pixel_mask[index].bool()
            check_no_mask_values(one, num_classes, ignore_label, where=f"targets[{index}]", pixel_mask=pixel_mask)
    check_labels(labels, max(num_classes, 2), key="segmentation", ignore_label=ignore_label, is_binary=num_classes == 1)
    return labels, known


def _on_canvas(index: int, labels: Tensor, canvas: Canvas, ignore_label: int) -> Tensor:
    height, width = canvas.size
    if labels.ndim != 2:
        raise ContractError(f"targets[{index}]: segmentation must be [height, width], got {list(labels.shape)}.")
    rows, columns = labels.shape
    if rows > height or columns > width:
        raise ContractError(
            f"targets[{index}]: segmentation is {rows}x{columns}, larger than the input's {height}x{width}; "
            f"resize and pad it together with its image (the processor does)."
        )
    return functional.pad(labels, (0, width - columns, 0, height - rows), value=ignore_label)
