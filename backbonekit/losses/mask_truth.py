"""The masks and classes that a batch should have, ready to be matched."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Target, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.present_images import images_at
from backbonekit.ops.label_check import check_labels
from backbonekit.ops.masks import classes_present, masks_of_classes, resize_nearest


@dataclass(slots=True)
class MaskTruth:
    """What a batch's targets say, for those images that say it. A "row" is a position among these images.

    `images`: the rows' positions in the batch. `labels`: int64 [rows, targets], 0 where a row has fewer.
    `present`: bool [rows, targets], False where a row has fewer, or where a segmentation lacks the class.
    `valid`: bool [rows, height, width], the pixels that count; None when all do.
    `masks`: bool [all targets, height, width], row after row, `counts` of each; or None, and then
    `segmentation`: int64 [rows, height, width] whose classes are the targets. It is never split into a mask for each
    class at full size: 150 classes at 800 x 1216 would be 146 MB an image.
    `is_complete`: whether every row has all its `counts` of targets, as masks have and segmentations need not.
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
        """All masks by nearest sampling, bool [rows, targets, height, width]."""
        if self.segmentation is not None:
            return masks_of_classes(resize_nearest(self.segmentation, size)[:, None], self.labels)
        assert self.masks is not None
        return pad_sequence(list(resize_nearest(self.masks, size).split(self.counts)), batch_first=True)

    def valid_at(self, size: tuple[int, int]) -> Tensor | None:
        return None if self.valid is None else resize_nearest(self.valid, size)

    def where_valid(self) -> "MaskTruth":
        """The same, with no mask and no class on pixels that do not count: between pixels they are read together."""
        if self.valid is None:
            return self
        if self.segmentation is not None:
            return replace(self, segmentation=self.segmentation.masked_fill(~self.valid, -1))
        assert self.masks is not None
        parts = [part & one for part, one in zip(self.masks.split(self.counts), self.valid, strict=True)]
        return replace(self, masks=torch.cat(parts))

    def rows_of(self, batched: Tensor) -> Tensor:
        """Of a tensor over the batch the images that are rows."""
        return images_at(batched, self.images)

    def select(self, rows: Tensor, targets: Tensor) -> Tensor:
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
        """Where among all masks those of pairs of row and target are."""
        counts = torch.tensor(self.counts, device=targets.device)
        return (counts.cumsum(0) - counts)[rows] + targets


def read_masks(
    targets: Targets, canvas: Canvas, *, num_classes: int, ignore_label: int, device: torch.device
) -> MaskTruth | None:
    """The truth of those images that have `labels` and `masks`, or else `segmentation`; None when no image has.

    What is smaller than the canvas lies at its top left. Raises ContractError for what is larger, for labels and masks
    that do not go together, and where the ignored label is a class.
    """
    read = [_read(image, target, canvas.size, ignore_label, device) for image, target in enumerate(targets)]
    told = [one for one in read if one is not None]
    if not told:
        return None
    images = [one.image for one in told]
    valid = _valid(told, canvas, ignore_label, device)
    segmentations = [one.segmentation for one in told if one.segmentation is not None]
    if segmentations and 0 <= ignore_label < num_classes:
        raise ContractError(
            f"targets: segmentation with {num_classes} classes, of which the ignored label {ignore_label} is one. The "
            f"fix: ignore_label=-1 for the criterion, and pixels marked so."
        )
    if len(segmentations) == len(told):
        segmentation = torch.stack(segmentations)
        check_labels(segmentation, num_classes, key="segmentation", ignore_label=ignore_label)
        labels = torch.arange(num_classes, device=device).expand(len(told), -1)
        present = classes_present(segmentation, num_classes)
        return MaskTruth(images, labels, present, valid, None, [num_classes] * len(told), segmentation, False)
    labels, masks, present = zip(*[one.as_masks(num_classes) for one in told], strict=True)
    return MaskTruth(
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
class _Told:
    """One image's truth: `masks` bool [N, height, width] with `labels` [N], or a `segmentation` [height, width]."""

    image: int
    labels: Tensor
    masks: Tensor
    segmentation: Tensor | None = None

    def as_masks(self, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Labels, masks and which of them are there."""
        if self.segmentation is None:
            return self.labels, self.masks, torch.ones_like(self.labels, dtype=torch.bool)
        labels = torch.arange(num_classes, device=self.segmentation.device)
        segmentation = self.segmentation[None]
        return labels, masks_of_classes(segmentation, labels), classes_present(segmentation, num_classes)[0]


def _read(image: int, target: Target, size: tuple[int, int], ignore_label: int, device: torch.device) -> _Told | None:
    labels, masks, segmentation = target.get("labels"), target.get("masks"), target.get("segmentation")
    if labels is not None and masks is not None:
        if labels.dim() != 1 or (masks.dim() != 3 and len(labels)) or len(masks) != len(labels):
            raise ContractError(
                f"targets[{image}]: labels {list(labels.shape)} and masks {list(masks.shape)} do not go together; "
                f"labels are [N] and masks [N, height, width]."
            )
        if not len(labels):  # without any mask its height and width say nothing
            return _Told(image, labels.to(device), torch.zeros(0, *size, dtype=torch.bool, device=device))
        return _Told(image, labels.to(device), _on_canvas(image, "masks", masks.to(device, torch.bool), size, 0))
    if segmentation is None:
        return None
    if segmentation.dim() != 2:
        raise ContractError(f"targets[{image}]: segmentation must be [height, width], got {list(segmentation.shape)}.")
    segmentation = _on_canvas(image, "segmentation", segmentation.to(device, torch.int64), size, ignore_label)
    nothing = segmentation.new_empty(0)
    return _Told(image, nothing, nothing, segmentation)


def _on_canvas(image: int, key: str, maps: Tensor, size: tuple[int, int], filling: int) -> Tensor:
    """Padded at the right and below."""
    rows, columns = size[0] - maps.shape[-2], size[1] - maps.shape[-1]
    if rows < 0 or columns < 0:
        raise ContractError(
            f"targets[{image}]: {key} cover {maps.shape[-2]}x{maps.shape[-1]} pixels, more than the input's "
            f"{size[0]}x{size[1]}; resize and pad them together with the image (the processor does)."
        )
    return functional.pad(maps, (0, columns, 0, rows), value=filling) if rows or columns else maps


def _valid(told: list[_Told], canvas: Canvas, ignore_label: int, device: torch.device) -> Tensor | None:
    """The pixels that count: no padding, nothing that a segmentation tells to ignore."""
    if canvas.pixel_mask is None and all(one.segmentation is None for one in told):
        return None
    everything = torch.ones(canvas.size, dtype=torch.bool, device=device)
    kept = []
    for one in told:
        real = everything if canvas.pixel_mask is None else canvas.pixel_mask[one.image].bool()
        kept.append(real if one.segmentation is None else real & (one.segmentation != ignore_label))
    return torch.stack(kept)
