"""Images of several sizes on one canvas."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.resize import round_up


def canvas_for(sizes: Sequence[tuple[int, int]], processing: Processing) -> tuple[int, int]:
    """(height, width) of the padded input: the fixed canvas, else the largest of `sizes`, rounded up to
    `size_divisor`. Raises ContractError when an image is larger than the fixed canvas."""
    height = max(size[0] for size in sizes)
    width = max(size[1] for size in sizes)
    if processing.canvas is not None:
        if height > processing.canvas[0] or width > processing.canvas[1]:
            raise ContractError(
                f"an image of {height} x {width} pixels does not fit on the fixed canvas of {processing.canvas[0]} x "
                f"{processing.canvas[1]}; give `processing.size`, or a `processing.longest_edge` within it."
            )
        return processing.canvas
    return round_up((height, width), processing.size_divisor)


def pad_together(
    images: Sequence[Tensor],
    canvas: tuple[int, int],
) -> dict[str, Any]:
    """`pixel_values` [batch, channels, *canvas] with 0 (the mean colour) on padding, `pixel_mask` bool
    [batch, *canvas] with True where a real pixel is, or None when nothing is padded."""
    padded = any(tuple(image.shape[-2:]) != canvas for image in images)
    if not padded:
        return {"pixel_values": torch.stack(list(images)), "pixel_mask": None}
    first = images[0]
    values = first.new_zeros((len(images), first.shape[0], *canvas))
    mask = torch.zeros((len(images), *canvas), dtype=torch.bool, device=first.device)
    for index, image in enumerate(images):
        height, width = image.shape[-2:]
        values[index, :, :height, :width] = image
        mask[index, :height, :width] = True
    return {"pixel_values": values, "pixel_mask": mask}


def split_sample(sample: Any) -> tuple[Tensor, Any]:
    """(pixel values, target or None) of one sample: a mapping, a pair, or the pixel values alone."""
    target = None
    if isinstance(sample, Mapping):
        if "pixel_values" not in sample:
            raise ContractError(
                f"a sample needs 'pixel_values'; this one has {', '.join(map(str, sample)) or 'nothing'}."
            )
        values = sample["pixel_values"]
        target = sample.get("target", sample.get("targets"))
    elif isinstance(sample, (tuple, list)):
        if len(sample) != 2:
            raise ContractError(f"a sample is (pixel_values, target); this one has {len(sample)} entries.")
        values, target = sample
    else:
        values = sample
    if not isinstance(values, Tensor) or values.ndim != 3 or not values.is_floating_point():
        given = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ContractError(
            f"collate takes normalised float tensors [channels, height, width]; given: {given}. "
            "Raw images go through the processor itself: `processor(images, targets)`."
        )
    return values, target
