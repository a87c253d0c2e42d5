"""Ground-truth masks and classes of a batch as tensors."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Target, Targets
from backbonekit.errors import ContractError
from backbonekit.ops.masks import classes_present, masks_of_classes, resize_labels
from backbonekit.ops.targets import check_labels, images_at


@dataclass(slots=True)
class MaskTargets:
    """The masks and classes of a batch. Only images that have targets are included; a "row" is an index into these.

    `images`: the rows' indices in the batch. `labels`: int64 [rows, targets], 0 in the padding.
    `present`: bool [rows, targets], False in the padding, and for a class that a segmentation does not contain.
    `valid`: bool [rows, height, width], the pixels that count; None when all do.
    `masks`: bool [all targets, height, width], row after row, `counts` of each; or None, and then
    `segmentation`: int64 [rows, height, width] whose classes are the targets, -1 where no pixel counts. It is never
    split into a mask for each class at full size: 150 classes at 800 x 1216 would be 146 MB for each image.
    `is_complete`: whether all `counts` targets of every row are present: always for masks, not for segmentations.
    """

    images: list[int]
    labels: Tensor
    present: Tensor
    valid: Tensor | None
    masks: Tensor | None
    counts: list[int]
    segmentation: Tensor | None
    is_complete: bool

    def masks_at(self, size: tuple[int, int]) -> Tensor:
        """All masks resized by nearest sampling, bool [rows, targets, height, width]."""
        if self.segmentation is not None:
            return masks_of_classes(resize_labels(self.segmentation, size)[:, None], self.labels)
        assert self.masks is not None
        return pad_sequence(list(resize_labels(self.masks, size).split(self.counts)), batch_first=True)

    def valid_at(self, size: tuple[int, int]) -> Tensor | None:
        """The valid pixels, resized as the masks."""
        return None if self.valid is None else resize_labels(self.valid, size)

    def where_valid(self) -> "MaskTargets":
        """The same targets without mask and class on invalid pixels, for bilinear sampling, which mixes pixels."""
        if self.valid is None:
            return self
        if self.segmentation is not None:
            return self  # it holds no class there
        assert self.masks is not None
        parts = [part & one for part, one in zip(self.masks.split(self.counts), self.valid, strict=True)]
        return replace(self, masks=torch.cat(parts))

    def select_images(self, batched: Tensor) -> Tensor:
        """The rows of a tensor whose first axis is the batch."""
        return images_at(batched, self.images)

    def select_masks(self, rows: Tensor, targets: Tensor) -> Tensor:
        """The full-size masks of pairs of row and target, bool [pairs, height, width]."""
        if self.segmentation is not None:
            return masks_of_classes(self.segmentation[rows], self.labels[rows, targets])
        assert self.masks is not None
        return self.masks[self.positions(rows, targets)]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the masks, which is the canvas's."""
        maps = self.masks if self.segmentation is None else self.segmentation
        assert maps is not None
        return maps.shape[-2], maps.shape[-1]

    def positions(self, rows: Tensor, targets: Tensor) -> Tensor:
        """The indices, among all masks, of those of pairs of row and target."""
        counts = torch.tensor(self.counts, device=targets.device)
        return (counts.cumsum(0) - counts)[rows] + targets


def read_mask_targets(
    targets: Targets, canvas: Canvas, *, num_classes: int, ignore_label: int, device: torch.device
) -> MaskTargets | None:
    """The targets of the images that have `labels` and `masks`, or `segmentation`; None when no image has them.

    Masks smaller than the canvas are at its top left. A class is present by its pixels outside the padding and without
    the ignored label. Raises ContractError for larger masks, and for labels and masks of different numbers.
    """
    read = [_read(image, target, canvas.size, ignore_label, device) for image, target in enumerate(targets)]
    found = [one for one in read if one is not None]
    if not found:
        return None
    images = [one.image for one in found]
    valid = _valid(found, canvas, ignore_label, device)
    if valid is not None:
        found = [one.where_valid(pixels, num_classes, ignore_label) for one, pixels in zip(found, valid, strict=True)]
    segmentations = [one.segmentation for one in found if one.segmentation is not None]
    if len(segmentations) == len(found):
        segmentation = torch.stack(segmentations)
        labels = torch.arange(num_classes, device=device).expand(len(found), -1)
        present = classes_present(segmentation, num_classes)
        return MaskTargets(images, labels, present, valid, None, [num_classes] * len(found), segmentation, False)
    labels, masks, present = zip(*[one.as_masks(num_classes) for one in found], strict=True)
    return MaskTargets(
        images=images,
        labels=pad_sequence(list(labels), batch_first=True),
        present=pad_sequence(list(present), batch_first=True),
        valid=valid,
        masks=torch.cat(masks),
        counts=[len(part) for part in labels],
        segmentation=None,
        is_complete=not segmentations,
    )


@dataclass(slots=True)
class _OneImage:
    """Targets of one image: `masks` bool [N, height, width] and `labels` [N], or a `segmentation` [height, width]."""

    image: int
    labels: Tensor
    masks: Tensor
    segmentation: Tensor | None = None

    def where_valid(self, valid: Tensor, num_classes: int, ignore_label: int) -> "_OneImage":
        """The same with classes in the segmentation, -1 where there is none: on invalid pixels, and where the label is
        0 with one class, whose label is 1. Raises ContractError for a label that is no class on another pixel."""
        if self.segmentation is None:
            return self
        is_binary = num_classes == 1
        labels = self.segmentation.masked_fill(~valid, ignore_label)
        check_labels(labels, max(num_classes, 2), key="segmentation", ignore_label=ignore_label, is_binary=is_binary)
        classes = self.segmentation - 1 if is_binary else self.segmentation
        return replace(self, segmentation=classes.masked_fill(~valid, -1))

    def as_masks(self, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Labels, masks and which of them are present."""
        if self.segmentation is None:
            return self.labels, self.masks, torch.ones_like(self.labels, dtype=torch.bool)
        labels = torch.arange(num_classes, device=self.segmentation.device)
        segmentation = self.segmentation[None]
        return labels, masks_of_classes(segmentation, labels), classes_present(segmentation, num_classes)[0]


def _read(
    image: int, target: Target, size: tuple[int, int], ignore_label: int, device: torch.device
) -> _OneImage | None:
    labels, masks, segmentation = target.get("labels"), target.get("masks"), target.get("segmentation")
    if labels is not None and masks is not None:
        if labels.dim() != 1 or (masks.dim() != 3 and len(labels)) or len(masks) != len(labels):
            raise ContractError(
                f"targets[{image}]: labels {list(labels.shape)} and masks {list(masks.shape)} do not go together; "
                f"labels are [N] and masks [N, height, width]."
            )
        if not len(labels):  # without any mask their height and width are not those of the image
            return _OneImage(image, labels.to(device), torch.zeros(0, *size, dtype=torch.bool, device=device))
        return _OneImage(
            image, labels.to(device), _pad_to_canvas(image, "masks", masks.to(device, torch.bool), size, 0)
        )
    if segmentation is None:
        return None
    if segmentation.dim() != 2:
        raise ContractError(f"targets[{image}]: segmentation must be [height, width], got {list(segmentation.shape)}.")
    segmentation = _pad_to_canvas(image, "segmentation", segmentation.to(device, torch.int64), size, ignore_label)
    empty = segmentation.new_empty(0)
    return _OneImage(image, empty, empty, segmentation)


def _pad_to_canvas(image: int, key: str, maps: Tensor, size: tuple[int, int], fill_value: int) -> Tensor:
    """The maps padded to the canvas, at the right and at the bottom."""
    rows, columns = size[0] - maps.shape[-2], size[1] - maps.shape[-1]
    if rows < 0 or columns < 0:
        raise ContractError(
            f"targets[{image}]: {key} of {maps.shape[-2]}x{maps.shape[-1]} pixels, larger than the input's "
            f"{size[0]}x{size[1]}; resize and pad them together with the image (the processor does)."
        )
    return functional.pad(maps, (0, columns, 0, rows), value=fill_value) if rows or columns else maps


def _valid(found: list[_OneImage], canvas: Canvas, ignore_label: int, device: torch.device) -> Tensor | None:
    """The pixels that count: not in the padding, and not ignored in a segmentation. None when all do."""
    if canvas.pixel_mask is None and all(one.segmentation is None for one in found):
        return None
    everything = torch.ones(canvas.size, dtype=torch.bool, device=device)
    kept = []
    for one in found:
        real = everything if canvas.pixel_mask is None else canvas.pixel_mask[one.image].bool()
        kept.append(real if one.segmentation is None else real & (one.segmentation != ignore_label))
    return torch.stack(kept)
