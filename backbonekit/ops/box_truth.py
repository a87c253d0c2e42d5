"""The boxes and classes that a batch should have, as tensors: read by set losses, and by heads that train on disturbed
copies of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Target, Targets
from backbonekit.errors import ContractError
from backbonekit.ops.boxes import centres_of, image_sizes


@dataclass(slots=True)
class BoxTruth:
    """What a batch's targets say, for those images that say it. A "row" is a position among these images.

    `images`: the rows' positions in the batch. `labels`: int64 [rows, targets], 0 where a row has fewer.
    `boxes_cxcywh`: [rows, targets, 4], centre and size in [0, 1] of the image without its padding, 0 where a row has
    fewer. `boxes_xyxy`: the same in pixels of the canvas. `present`: bool [rows, targets], False where a row has fewer.
    `counts`: how many each row has.
    """

    images: list[int]
    labels: Tensor
    boxes_cxcywh: Tensor
    boxes_xyxy: Tensor
    present: Tensor
    counts: list[int]

    def rows_of(self, batched: Tensor) -> Tensor:
        """Of a tensor over the batch the images that are rows. No index tensor, which would have to reach the
        device."""
        if len(self.images) == batched.shape[0]:
            return batched
        return torch.stack([batched[image] for image in self.images])


def read_boxes(targets: Targets, canvas: Canvas, *, like: Tensor) -> BoxTruth | None:
    """The truth of those images that have `labels` and `boxes`; None when no image has. In one padded tensor each.

    `targets`: boxes are x0, y0, x1, y1 in pixels of the canvas. `like`: of its type (at least float32) and device are
    the boxes. Raises ContractError for labels and boxes that do not go together, and on the CPU for a box whose right
    or lower edge comes before the left or upper one.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    read = [_read(image, target) for image, target in enumerate(targets)]
    images = [image for image, told in enumerate(read) if told is not None]
    if not images:
        return None
    labels, boxes = map(list, zip(*[told for told in read if told is not None], strict=True))
    counts = [len(one) for one in labels]
    sizes = image_sizes(canvas, like.new_empty(0, dtype=dtype)).repeat(1, 2)
    if sizes.shape[0] > 1:
        sizes = torch.stack([sizes[image] for image in images])
    padded = pad_sequence([one.to(like.device, dtype) for one in boxes], batch_first=True)
    return BoxTruth(
        images=images,
        labels=pad_sequence([one.to(like.device, torch.int64) for one in labels], batch_first=True),
        boxes_cxcywh=centres_of(padded / sizes[:, None]),
        boxes_xyxy=padded,
        present=pad_sequence([one.new_ones(len(one), dtype=torch.bool) for one in labels], batch_first=True).to(
            like.device
        ),
        counts=counts,
    )


def _read(image: int, target: Target) -> tuple[Tensor, Tensor] | None:
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
    _check_edges(image, boxes)
    return labels, boxes


def _check_edges(image: int, boxes_xyxy: Tensor) -> None:
    """On the CPU alone: on an accelerator the question would stop the pipeline at every step."""
    if boxes_xyxy.device.type != "cpu" or torch.compiler.is_compiling() or _is_fake(boxes_xyxy):
        return
    right = (boxes_xyxy[:, 2:] >= boxes_xyxy[:, :2]).all(1)  # False for what is no number
    if not right.all():
        index = int((~right).nonzero()[0])
        given = ", ".join(f"{edge:g}" for edge in boxes_xyxy[index].tolist())
        raise ContractError(
            f"targets[{image}]: boxes[{index}] is [{given}]; a box is x0, y0, x1, y1 in pixels with x0 <= x1 and "
            f"y0 <= y1. From x, y, width, height (COCO): torchvision.ops.box_convert(boxes, 'xywh', 'xyxy')."
        )


def _is_fake(tensor: Tensor) -> bool:
    return isinstance(tensor, torch._subclasses.FakeTensor)
