"""What both depth losses have in common: target depth as one tensor, means over known pixels, gradient matching."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.resize import resize_bilinear
from backbonekit.ops.targets import images_at


def depths_by_image(targets: Targets) -> dict[int, Tensor]:
    """The target depth of each image that has the key, by the image's index in the batch."""
    return {index: target["depth"] for index, target in enumerate(targets) if "depth" in target}


def depth_on_canvas(
    depths: dict[int, Tensor], canvas: Canvas, like: Tensor
) -> tuple[Float[Tensor, "known height width"], Bool[Tensor, "known height width"]]:
    """Target depth on the canvas, and where it is valid: finite, above 0, not padding. 1 where it is not valid.

    `like`: the result has its device and type. Raises ContractError for another shape than the canvas's.
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
                f"pad it together with the image (the processor does)."
            )
        padded.append(functional.pad(given.to(like.device, like.dtype), (0, width - columns, 0, height - rows)))
    depth = torch.stack(padded)
    valid = depth.isfinite() & (depth > 0)
    if canvas.pixel_mask is not None:
        valid = valid & images_at(canvas.pixel_mask, list(depths))
    return depth.masked_fill(~valid, 1.0), valid


def predicted_depth(
    depth: Float[Tensor, "batch height width"], known: list[int], canvas: Canvas
) -> Float[Tensor, "known canvas_height canvas_width"]:
    """The predictions of the images `known`, resized to the canvas, in at least float32."""
    predicted = upcast_to_float32(images_at(depth, known))
    if predicted.shape[-2:] != canvas.size:
        predicted = resize_bilinear(predicted[:, None], canvas.size)[:, 0]
    return predicted


def mean_where(values: Float[Tensor, "known *pixels"], valid: Bool[Tensor, "known *pixels"]) -> Float[Tensor, " known"]:
    """The mean of each image over its valid pixels; 0 where none is valid."""
    kept = values.masked_fill(~valid, 0).flatten(1).sum(dim=1)
    return kept / valid.flatten(1).sum(dim=1).clamp(min=1)


def mean_of_images(values: Float[Tensor, " known"], valid: Bool[Tensor, "known height width"]) -> Float[Tensor, ""]:
    """The mean over the images that have a valid pixel; 0 where none has."""
    counts = valid.flatten(1).any(dim=1)
    return values.masked_fill(~counts, 0).sum() / counts.sum().clamp(min=1)


def gradient_matching(
    residual: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"], scales: int
) -> Float[Tensor, " known"]:
    """The multi-scale gradient matching term of each image: 0 where prediction and target have the same edges.

    `residual`: prediction minus target, 0 where it is not valid. A difference of neighbours counts where both are
    valid; each scale takes every second row and column of the one before, and its sum is divided by the number of its
    valid pixels.
    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020), equation 11.
    """
    total = residual.new_zeros(residual.shape[0])
    for scale in range(scales):
        step = 2**scale
        error, counts = residual[:, ::step, ::step], valid[:, ::step, ::step]
        num_valid = counts.flatten(1).sum(dim=1).clamp(min=1)
        for dim in (1, 2):
            length = error.shape[dim] - 1
            change = (error.narrow(dim, 1, length) - error.narrow(dim, 0, length)).abs()
            both = counts.narrow(dim, 1, length) & counts.narrow(dim, 0, length)
            total = total + change.masked_fill(~both, 0).flatten(1).sum(dim=1) / num_valid
    return total
