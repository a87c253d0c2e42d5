"""The masks and classes that a batch should have, ready to be matched."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import IGNORE_LABEL, Target, Targets
from backbonekit.errors import ContractError
from backbonekit.ops.masks import classes_present, masks_of_classes, resize_nearest


@dataclass(slots=True)
class MaskTruth:
    """What a batch's targets say, for those pictures that say it. A "row" is a position among these pictures.

    `pictures`: the rows' positions in the batch. `labels`: int64 [rows, targets], 0 where a row has fewer.
    `present`: bool [rows, targets], False where a row has fewer, or where a segmentation lacks the class.
    `valid`: bool [rows, height, width], the pixels that count; None when all do.
    `masks`: bool [all targets, height, width], row after row, `counts` of each; or None, and then
    `segmentation`: int64 [rows, height, width] whose classes are the targets. It is never split into a mask for each
    class at full size: 150 classes at 800 x 1216 would be 146 MB a picture.
    """

    pictures: list[int]
    labels: Tensor
    present: Tensor
    valid: Tensor | None
    masks: Tensor | None
    counts: list[int]
    segmentation: Tensor | None

    def masks_at(self, size: tuple[int, int]) -> Tensor:
        """All masks by nearest sampling, bool [rows, targets, height, width]."""
        if self.segmentation is not None:
            return masks_of_classes(resize_nearest(self.segmentation, size)[:, None], self.labels)
        assert self.masks is not None
        return pad_sequence(list(resize_nearest(self.masks, size).split(self.counts)), batch_first=True)

    def valid_at(self, size: tuple[int, int]) -> Tensor | None:
        return None if self.valid is None else resize_nearest(self.valid, size)

    def rows_of(self, tensor: Tensor) -> Tensor:
        """Of a tensor over the batch the pictures that are rows."""
        return tensor if len(self.pictures) == tensor.shape[0] else tensor[self.pictures]

    def select(self, rows: Tensor, targets: Tensor) -> Tensor:
        """The full-size masks of pairs of row and target, bool [pairs, height, width]."""
        if self.segmentation is not None:
            return masks_of_classes(self.segmentation[rows], self.labels[rows, targets])
        assert self.masks is not None
        ends = torch.tensor(self.counts, device=targets.device).cumsum(0)
        return self.masks[(ends - torch.tensor(self.counts, device=targets.device))[rows] + targets]


def read_masks(targets: Targets, canvas: Canvas, *, num_classes: int, device: torch.device) -> MaskTruth | None:
    """The truth of those pictures that have `labels` and `masks`, or else `segmentation`; None when no picture has.

    Raises ContractError when masks do not have the canvas's size.
    """
    told = {picture: target for picture, target in enumerate(targets) if _tells(target)}
    if not told:
        return None
    for picture, target in told.items():
        _check(picture, target, canvas.size)
    valid = _valid(told, canvas, device)
    if not any(_has_masks(target) for target in told.values()):
        segmentation = torch.stack([target["segmentation"] for target in told.values()]).to(device)
        labels = torch.arange(num_classes, device=device).expand(len(told), -1)
        present = classes_present(segmentation, num_classes)
        return MaskTruth(list(told), labels, present, valid, None, [num_classes] * len(told), segmentation)
    parts = [_labels_masks_present(target, canvas.size, num_classes, device) for target in told.values()]
    labels, masks, present = zip(*parts, strict=True)
    return MaskTruth(
        pictures=list(told),
        labels=pad_sequence(list(labels), batch_first=True),
        present=pad_sequence(list(present), batch_first=True),
        valid=valid,
        masks=torch.cat(masks),
        counts=[len(part) for part in labels],
        segmentation=None,
    )


def _has_masks(target: Target) -> bool:
    return "masks" in target and "labels" in target


def _tells(target: Target) -> bool:
    return _has_masks(target) or "segmentation" in target


def _labels_masks_present(
    target: Target, size: tuple[int, int], num_classes: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    if _has_masks(target):
        labels = target["labels"].to(device)
        masks = target["masks"].to(device, torch.bool).reshape(len(labels), *size)
        return labels, masks, torch.ones_like(labels, dtype=torch.bool)
    segmentation = target["segmentation"].to(device)[None]
    labels = torch.arange(num_classes, device=device)
    return labels, masks_of_classes(segmentation, labels), classes_present(segmentation, num_classes)[0]


def _valid(told: dict[int, Target], canvas: Canvas, device: torch.device) -> Tensor | None:
    """The pixels that count: no padding, nothing that a segmentation tells to ignore."""
    read = [None if _has_masks(target) else target["segmentation"].to(device) for target in told.values()]
    if canvas.pixel_mask is None and not any(isinstance(segmentation, Tensor) for segmentation in read):
        return None
    if canvas.pixel_mask is None:
        real = torch.ones(len(told), *canvas.size, dtype=torch.bool, device=device)
    else:
        real = canvas.pixel_mask.bool()[list(told)]
    kept = [
        pixels if segmentation is None else pixels & (segmentation != IGNORE_LABEL)
        for pixels, segmentation in zip(real, read, strict=True)
    ]
    return torch.stack(kept)


def _check(picture: int, target: Target, size: tuple[int, int]) -> None:
    key = "masks" if _has_masks(target) else "segmentation"
    given = tuple(target[key].shape)
    if key == "masks":
        count = target["labels"].numel()
        if count == 0 and target[key].numel() == 0:
            return
        if target["labels"].dim() != 1 or len(given) != 3 or given[0] != count:
            raise ContractError(
                f"targets[{picture}]: labels {list(target['labels'].shape)} and masks {list(given)} do not go together; "
                f"labels are [N] and masks [N, height, width]."
            )
    if given[-2:] != size or len(given) < 2:
        raise ContractError(
            f"targets[{picture}]: {key} are {list(given)} and the input is {size[0]} x {size[1]}; they must cover the "
            f"same canvas. The fix: let the processor resize and pad pictures and targets together."
        )
