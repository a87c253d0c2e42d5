"""Top-down pose estimation: each person is cut out by a box, and keypoints are mapped back into the image."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.contract.results import KeypointResult
from backbonekit.errors import ContractError
from backbonekit.image_processing.person_crop import MARGIN, CropRegion, cut_out, region_around
from backbonekit.image_processing.pixels import ImageLike, channels_of, to_pixels

Boxes = Tensor | Sequence[Sequence[float]]  # [N, 4], xyxy in pixels of the upright image; one around each person


def check_fixed_size(processing: Processing) -> None:
    """Raises ContractError for a processing without a fixed size, at which persons could be cut out."""
    if processing.size is None or processing.keep_aspect_ratio:
        raise ContractError(
            "persons are cut out at the model's own input size, and this model's processing has none. "
            "The fix: processing.size=[256, 192]."
        )


def crops_of(image: ImageLike, boxes: Boxes, processing: Processing) -> tuple[list[Any], list[CropRegion]]:
    """One crop at the model's input size for each box, and the region of the image that each shows.

    Raises ContractError for a box without an area.
    """
    assert processing.size is not None
    corners = _checked(boxes)
    if not len(corners):
        return [], []
    pixels = to_pixels(image, channels_of(processing), processing.range)
    regions = [region_around((box[0], box[1], box[2], box[3]), processing.size, MARGIN) for box in corners.tolist()]
    return [cut_out(pixels, region) for region in regions], regions


def on_image(results: Sequence[Any], regions: Sequence[CropRegion]) -> list[KeypointResult]:
    """Keypoints in pixels of the crops -> in pixels of the image."""
    return [
        replace(result, keypoints=region.to_image(result.keypoints.double()).float())
        for result, region in zip(results, regions, strict=True)
    ]


def boxes_of_each(boxes: Any, num_images: int, *, is_single: bool) -> list[Any]:
    """The boxes of each image: of a single image [N, 4], of a list of images a list with one [N, 4] each."""
    each = [boxes] if is_single else list(boxes)
    if len(each) != num_images:
        raise ContractError(
            f"boxes: {len(each)} given for {num_images} images; give one list of boxes (left, top, right, bottom) "
            "for each image, an empty one where there is nobody."
        )
    return each


def _checked(boxes: Boxes) -> Tensor:
    """float64 [N, 4]."""
    try:
        corners = torch.as_tensor(boxes, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(f"boxes must be numbers of shape [N, 4]: {error}.") from error
    if corners.numel() == 0:
        return corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ContractError(
            f"boxes of an image have the shape [N, 4]; given: {list(corners.shape)}. "
            "For a list of images give a list with one [N, 4] for each."
        )
    empty = (corners[:, 2:] <= corners[:, :2]).any(dim=1) | ~corners.isfinite().all(dim=1)
    if empty.any():
        wrong = corners[empty][0].tolist()
        raise ContractError(
            f"the box {[round(side, 2) for side in wrong]} has no area; boxes are left, top, right, bottom in pixels."
        )
    return corners
