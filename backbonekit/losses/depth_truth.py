"""True depth as one tensor, and where a prediction can be judged by it."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.losses.present_images import images_at
from backbonekit.ops.precision import at_least_single
from backbonekit.ops.resize import resize_bilinear


def known_depths(targets: Targets) -> dict[int, Tensor]:
    """The depth of each image of the batch that has the key, by its place."""
    return {index: target["depth"] for index, target in enumerate(targets) if "depth" in target}


def true_depth(
    depths: dict[int, Tensor], canvas: Canvas, like: Tensor
) -> tuple[Float[Tensor, "known height width"], Bool[Tensor, "known height width"]]:
    """Depth on the canvas, 1 where nobody knows it, and where somebody does: finite, above 0, no padding.

    `like`: a tensor of the device and type that are wanted. Raises ContractError for another shape than the canvas's.
    """
    height, width = canvas.size
    padded = []
    for index, given in depths.items():
        if given.ndim != 2:
            raise ContractError(f"targets[{index}]: depth must be [height, width], got {list(given.shape)}.")
        rows, columns = given.shape
        if rows > height or columns > width:
            raise ContractError(
                f"targets[{index}]: depth is {rows}x{columns}, larger than the input's {height}x{width}; resize and "
                f"pad it together with its image (the processor does)."
            )
        padded.append(functional.pad(given.to(like.device, like.dtype), (0, width - columns, 0, height - rows)))
    depth = torch.stack(padded)
    valid = depth.isfinite() & (depth > 0)
    if canvas.pixel_mask is not None:
        valid = valid & images_at(canvas.pixel_mask, list(depths))
    return depth.masked_fill(~valid, 1.0), valid


def answered_depth(
    depth: Float[Tensor, "batch height width"], known: list[int], canvas: Canvas
) -> Float[Tensor, "known canvas_height canvas_width"]:
    """The answers for these images, resized to the canvas, in at least single precision."""
    answered = at_least_single(images_at(depth, known))
    if answered.shape[-2:] != canvas.size:
        answered = resize_bilinear(answered[:, None], canvas.size)[:, 0]
    return answered


def mean_where(
    values: Float[Tensor, "known *places"], counts: Bool[Tensor, "known *places"]
) -> Float[Tensor, " known"]:
    """The mean of each image over the places that count; 0 where none does."""
    kept = values.masked_fill(~counts, 0).flatten(1).sum(dim=1)
    return kept / counts.flatten(1).sum(dim=1).clamp(min=1)


def mean_of_images(values: Float[Tensor, " known"], valid: Bool[Tensor, "known height width"]) -> Float[Tensor, ""]:
    """The mean over the images that have a valid place; 0 where none has."""
    counts = valid.flatten(1).any(dim=1)
    return values.masked_fill(~counts, 0).sum() / counts.sum().clamp(min=1)
