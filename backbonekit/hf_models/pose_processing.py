"""Boxes of persons into crops, and heatmaps into keypoints, in the form of transformers' ViTPose processor."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.person_crop import MARGIN, cut_out, region_around
from backbonekit.image_processing.pixels import ImageLike, channels_of, to_pixels
from backbonekit.postprocessing.keypoints import peaks

_HALF = 0.5  # transformers counts pixels from the centre of the first one, which is at 0.5 of its image


def listed_boxes(boxes: Any, images: int) -> list[Tensor]:
    """For each image float64 [N, 4]. Raises ContractError for another number of images, and for what is no box."""
    each = list(boxes)
    if len(each) != images:
        raise ContractError(
            f"boxes of {len(each)} images for {images}; give a list of boxes [x, y, width, height] for each image."
        )
    listed = []
    for position, of_image in enumerate(each):
        try:
            rows = torch.as_tensor(of_image, dtype=torch.float64)
        except (TypeError, ValueError) as error:
            raise ContractError(f"boxes[{position}] must be numbers of shape [N, 4]: {error}.") from error
        rows = rows.reshape(0, 4) if rows.numel() == 0 else rows
        if rows.ndim != 2 or rows.shape[1] != 4:
            raise ContractError(f"boxes[{position}] has the shape {list(rows.shape)}; boxes of an image are [N, 4].")
        empty = (rows[:, 2:] <= 0).any(dim=1) | ~rows.isfinite().all(dim=1)
        if empty.any():
            raise ContractError(
                f"boxes[{position}] has the box {rows[empty][0].tolist()}, whose width and height are not above 0;"
                " boxes are [x, y, width, height] in pixels."
            )
        listed.append(rows)
    return listed


def person_crops(images: Sequence[ImageLike], boxes: Sequence[Tensor], processing: Processing) -> list[Any]:
    """Every person of every image, cut out at the model's input size, one after the other.

    `boxes`: for each image [N, 4], x, y, width, height in pixels, the centre of the first pixel at 0.
    """
    assert processing.size is not None
    crops = []
    for image, of_image in zip(images, boxes, strict=True):
        pixels = to_pixels(image, channels_of(processing))
        for left, top, width, height in (of_image + of_image.new_tensor([_HALF, _HALF, 0, 0])).tolist():
            region = region_around((left, top, left + width, top + height), processing.size, MARGIN)
            crops.append(cut_out(pixels, region))
    return crops


def found_keypoints(
    heatmaps: Tensor, boxes: Sequence[Tensor], size: tuple[int, int], *, kernel_size: int, threshold: float | None
) -> list[list[dict[str, Tensor]]]:
    """For each image and person `keypoints` float [K, 2], x and y in pixels of the image, `scores` [K], `labels` int64
    [K], the numbers of the keypoints, and `bbox` [4], x0 y0 x1 y1.

    `heatmaps`: [persons, K, height, width]. `boxes`: as for `person_crops`. `size`: (height, width) of the input.
    `threshold`: keypoints whose score is not above it are left out.
    """
    count = sum(len(of_image) for of_image in boxes)
    if count != len(heatmaps):
        raise ContractError(f"heatmaps of {len(heatmaps)} persons, and {count} boxes; each box has one person.")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ContractError(f"kernel_size={kernel_size} must be an odd number of at least 1.")
    rows, columns = heatmaps.shape[-2:]
    persons = iter(heatmaps.detach().cpu().double())
    results = []
    for of_image in boxes:
        found = []
        for left, top, width, height in of_image.tolist():
            region = region_around((left, top, left + width, top + height), size, MARGIN)
            cells, scores = peaks(next(persons), radius=(kernel_size - 1) // 2)
            steps = cells.new_tensor([region.width / max(columns - 1, 1), region.height / max(rows - 1, 1)])
            points = cells * steps + cells.new_tensor([region.left, region.top])
            kept = scores > (-torch.inf if threshold is None else threshold)
            found.append(
                {
                    "keypoints": points[kept].float(),
                    "scores": scores[kept].float(),
                    "labels": kept.nonzero()[:, 0],
                    "bbox": torch.tensor([left, top, left + width, top + height]),
                }
            )
        results.append(found)
    return results
