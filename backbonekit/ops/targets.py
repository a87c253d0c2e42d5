"""Targets of a batch as tensors: boxes and classes padded to one length, the images that have a target, checks of
labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.target_values import check_boxes
from backbonekit.contract.targets import Target, Targets
from backbonekit.errors import ContractError
from backbonekit.ops.boxes import image_sizes, xyxy_to_cxcywh


def images_at(batched: Tensor, indices: Sequence[int]) -> Tensor:
    """The images at `indices` of a tensor whose first axis is the batch. Indexes image by image, because an index
    tensor would have to be copied to the device."""
    if len(indices) == batched.shape[0]:
        return batched
    return torch.stack([batched[index] for index in indices])


@dataclass(slots=True)
class BoxTargets:
    """The boxes and classes of a batch, padded to the largest number in an image. Only images that have `labels` and
    `boxes` are included; a "row" is an index into these images.

    `images`: the rows' indices in the batch. `labels`: int64 [rows, targets], 0 in the padding.
    `boxes_cxcywh`: [rows, targets, 4], centre and size in [0, 1] of the image without its padding, 0 in the padding of
    a row. `boxes_xyxy`: the same in pixels of the canvas. `present`: bool [rows, targets], False in the padding.
    `counts`: the number of targets of each row.
    """

    images: list[int]
    labels: Tensor
    boxes_cxcywh: Tensor
    boxes_xyxy: Tensor
    present: Tensor
    counts: list[int]

    def select_images(self, batched: Tensor) -> Tensor:
        """The rows of a tensor whose first axis is the batch."""
        return images_at(batched, self.images)


def read_box_targets(targets: Targets, canvas: Canvas, *, like: Tensor) -> BoxTargets | None:
    """The targets of the images that have `labels` and `boxes`; None when no image has them.

    `targets`: boxes are x0, y0, x1, y1 in pixels of the canvas. `like`: boxes are returned in its type (at least
    float32) and on its device. Raises ContractError for labels and boxes of different numbers, and on the CPU for boxes
    that are inverted, relative or outside the canvas.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    read = [_read(image, target, canvas.size) for image, target in enumerate(targets)]
    images = [image for image, found in enumerate(read) if found is not None]
    if not images:
        return None
    labels, boxes = map(list, zip(*[found for found in read if found is not None], strict=True))
    counts = [len(one) for one in labels]
    sizes = image_sizes(canvas, like.new_empty(0, dtype=dtype)).repeat(1, 2)
    if sizes.shape[0] > 1:
        sizes = torch.stack([sizes[image] for image in images])
    padded = pad_sequence([one.to(like.device, dtype) for one in boxes], batch_first=True)
    return BoxTargets(
        images=images,
        labels=pad_sequence([one.to(like.device, torch.int64) for one in labels], batch_first=True),
        boxes_cxcywh=xyxy_to_cxcywh(padded / sizes[:, None]),
        boxes_xyxy=padded,
        present=pad_sequence([one.new_ones(len(one), dtype=torch.bool) for one in labels], batch_first=True).to(
            like.device
        ),
        counts=counts,
    )


def check_labels(
    labels: Tensor, num_labels: int, *, key: str, ignore_label: int | None = None, is_binary: bool = False
) -> None:
    """Raises ContractError for a label outside 0..num_labels-1. `is_binary`: one class, 1, and everything else, 0.

    Checks on the CPU alone: on an accelerator reading the labels would stop the pipeline at every step, and there the
    device's own assertion stops the run.
    """
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or labels.numel() == 0:
        return
    outside = (labels < 0) | (labels >= num_labels)
    if ignore_label is not None:
        outside &= labels != ignore_label
    if outside.any():
        wrong = sorted(set(labels[outside].tolist()))
        ignored = f", {ignore_label} is ignored" if ignore_label is not None else ""
        held = f"targets: {key} holds the label{'s' if len(wrong) > 1 else ''} {', '.join(map(str, wrong[:5]))}; with "
        if is_binary:
            raise ContractError(
                f"{held}num_classes=1 the class is 1 and everything else 0{ignored}. For other labels in the files: "
                f"processing.label_map, such as {{{wrong[0]}: 1}}."
            )
        fix = " For other labels in the files: processing.label_map." if key == "segmentation" else ""
        raise ContractError(
            f"{held}num_classes={num_labels} labels run from 0 to {num_labels - 1}{ignored} (background counts only "
            f"where it is a class of its own).{fix}"
        )


def check_no_mask_values(
    labels: Tensor, num_classes: int, ignore_label: int, *, where: str, pixel_mask: Tensor | None = None
) -> None:
    """Raises ContractError for a map of one or two classes with 0 and 255 alone, where 255 is ignored by default: such
    a map is nearly always a mask whose foreground is 255. Checks on the CPU alone, as `check_labels`.

    `where`: what the message calls the map. `pixel_mask`: False where the map is padding.
    """
    if num_classes > 2 or labels.device.type != "cpu" or torch.compiler.is_compiling() or labels.numel() == 0:
        return
    if pixel_mask is not None:
        labels = labels[pixel_mask.to(labels.device)[: labels.shape[0], : labels.shape[1]]]
    zero, ignored = labels == 0, labels == ignore_label
    if zero.any() and ignored.any() and (zero | ignored).all():
        raise ContractError(
            f"{where}: segmentation holds 0 and {ignore_label} alone, and {ignore_label} is the label of ignored "
            f"pixels, so only 0 would be learned. Where {ignore_label} is the foreground of a mask, the fix: "
            f"'processing.label_map={{{ignore_label}: 1}}'. Where these pixels are to be ignored: "
            f"processing.ignore_label={ignore_label} says so."
        )


def _read(image: int, target: Target, size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
    labels, boxes = target.get("labels"), target.get("boxes")
    if labels is None or boxes is None:
        return None
    if boxes.numel() == 0:
        boxes = boxes.reshape(0, 4)  # an empty list has no second dimension
    if labels.dim() != 1 or boxes.dim() != 2 or boxes.shape[-1] != 4 or len(labels) != len(boxes):
        raise ContractError(
            f"targets[{image}]: labels {list(labels.shape)} and boxes {list(boxes.shape)} do not go together; "
            f"labels are [N] and boxes [N, 4]."
        )
    check_boxes(boxes, size, image=image)
    return labels, boxes
