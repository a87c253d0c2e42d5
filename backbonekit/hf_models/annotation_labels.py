"""COCO's annotations, of detection or panoptic, as the labels of a detector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.hf_models.labels import detection_labels, listed_annotations, moved_labels
from backbonekit.hf_models.processor_settings import ProcessorSettings


def annotation_labels(
    annotations: Any,
    geometries: Sequence[Geometry],
    settings: ProcessorSettings,
    *,
    with_masks: bool | None,
    masks_path: str | Path | None,
) -> list[dict[str, Tensor]]:
    """One for each image. `with_masks`: None is True for panoptic annotations, else False."""
    converts = settings["do_convert_annotations"]
    if settings["format"] != "coco_panoptic":
        if masks_path is not None:
            raise ContractError('masks_path is for annotations of format="coco_panoptic", whose masks are PNG files.')
        listed = listed_annotations(annotations, len(geometries), "annotations")
        return [
            detection_labels(one, geometry, converts=converts, with_masks=bool(with_masks))
            for one, geometry in zip(listed, geometries, strict=True)
        ]
    if masks_path is None:
        raise ContractError(
            'format="coco_panoptic" reads masks from PNG files: masks_path=, their folder, is required.'
        )
    listed = listed_annotations(annotations, len(geometries), "segments_info")
    return [
        panoptic_labels(one, Path(masks_path), geometry, converts=converts, with_masks=with_masks is not False)
        for one, geometry in zip(listed, geometries, strict=True)
    ]


def panoptic_labels(
    annotation: Mapping[str, Any], masks_path: Path, geometry: Geometry, *, converts: bool, with_masks: bool
) -> dict[str, Tensor]:
    """What `detection_labels` returns, of `{"image_id", "file_name", "segments_info"}`, crowds included.

    `file_name` is a PNG in `masks_path`, whose colours number the segments: red + 256 green + 65536 blue. The box of a
    segment ends at its last pixel, as in transformers. Raises ContractError for a file of another size, and for a
    segment that it does not show.
    """
    numbers = _numbers(annotation, masks_path, geometry.original)
    segments = [_checked(one) for one in annotation["segments_info"]]
    masks = torch.zeros(len(segments), *numbers.shape, dtype=torch.bool)
    boxes = torch.zeros(len(segments), 4)
    for index, segment in enumerate(segments):
        masks[index] = mask = numbers == int(segment["id"])
        if not mask.any():
            raise ContractError(f"{annotation['file_name']} shows no pixel of the segment {segment['id']}.")
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        boxes[index] = torch.stack((columns[0], rows[0], columns[-1], rows[-1]))
    objects = [{"area": int(mask.sum()), **segment} for mask, segment in zip(masks, segments, strict=True)]
    target = {"labels": torch.arange(len(segments)), "boxes": boxes, **({"masks": masks} if with_masks else {})}
    image_id = annotation.get("image_id", annotation.get("id", 0))
    return moved_labels(target, objects, image_id, geometry, converts=converts)


def _numbers(annotation: Mapping[str, Any], masks_path: Path, size: tuple[int, int]) -> Tensor:
    """int64 [height, width]: the number of the segment of every pixel."""
    name = annotation.get("file_name")
    if not isinstance(name, str):
        raise ContractError("a panoptic annotation names the PNG file of its segments: file_name.")
    try:
        with Image.open(masks_path / name) as image:
            colours = np.asarray(image.convert("RGB"), dtype=np.int64)
    except (OSError, UnidentifiedImageError) as error:
        raise ContractError(f"{masks_path / name} cannot be read as an image of segments: {error}") from error
    if colours.shape[:2] != size:
        given = " x ".join(map(str, colours.shape[:2]))
        raise ContractError(f"{masks_path / name} has {given} pixels, its image {size[0]} x {size[1]}.")
    return torch.from_numpy(colours @ np.array([1, 256, 65536]))


def _checked(segment: Any) -> Mapping[str, Any]:
    if not isinstance(segment, Mapping) or "id" not in segment or "category_id" not in segment:
        raise ContractError(f"a segment has an id and a category_id; given: {str(segment)[:200]}.")
    return segment
