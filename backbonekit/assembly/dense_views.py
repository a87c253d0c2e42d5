"""Dense predictions of one image from several views of it: as it is, mirrored, larger and smaller, averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as functional
from PIL import Image, ImageOps
from torch import Tensor

from backbonekit.assembly.inference import Predictor, run
from backbonekit.contract.predictions import DenseDepth, DenseLogits, MaskQueries, Prediction, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.image_processing.reading import open_image
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.semantic import class_scores
from backbonekit.postprocessing.window import resample, window_of

FLIP = "flip"
_SCALES = (0.1, 10.0)


@dataclass(frozen=True, slots=True)
class View:
    """`scale`: of the prepared image. `mirrored`: left and right exchanged."""

    scale: float = 1.0
    mirrored: bool = False


AS_IT_IS = (View(),)


def views_of(augment: Sequence[str | float]) -> tuple[View, ...]:
    """The image as it is and at every scale of `augment`; with `flip` in it each of these mirrored too. Raises
    RecipeError."""
    scales = [1.0]
    for item in augment:
        if item == FLIP:
            continue
        if isinstance(item, (str, bool)) or not _SCALES[0] <= item <= _SCALES[1]:
            raise RecipeError(
                f"augment={list(augment)}: {item!r} is none of 'flip' and a scale from {_SCALES[0]} to {_SCALES[1]}, as"
                " [flip, 0.75, 1.25]."
            )
        scales += [float(item)] * (item not in scales)
    mirrorings = (False, True) if FLIP in augment else (False,)
    return tuple(View(scale, mirrored) for scale in scales for mirrored in mirrorings)


def predictions_of(model: Predictor, image: ImageLike, view: View) -> tuple[dict[str, Prediction], Geometry]:
    """The predictions for one image by task, and where the image went."""
    batch, (geometry,) = model.processor.prepare([_mirrored(image) if view.mirrored else image])
    if view.scale != 1.0:
        batch = _scaled(batch, view.scale, model.processor.processing.size_divisor)
    return run(model, batch), geometry


def maps_of(prediction: Prediction, geometry: Geometry, scoring: Scoring, *, mirrored: bool) -> Tensor:
    """[channels, height, width] in the image's own pixels: logits, scores of classes, or depth.

    Raises ContractError where a centre crop hid a part of the image.
    """
    if isinstance(prediction, DenseDepth):
        maps, mode = prediction.depth[0][None], "bicubic"
    elif isinstance(prediction, MaskQueries):
        maps, mode = next(class_scores(prediction, scoring)), "bilinear"
    else:
        assert isinstance(prediction, DenseLogits)
        maps, mode = prediction.logits[0], "bilinear"
    window = window_of(geometry, (maps.shape[-2], maps.shape[-1]))
    if not window.complete:
        raise ContractError(
            "processing.crop hides the edge of every image, and so of every tile. The fix: processing.crop=null."
        )
    found = resample(upcast_to_float32(maps), window, mode=mode)
    return found.flip(-1) if mirrored else found


def _mirrored(image: ImageLike) -> ImageLike:
    if not isinstance(image, (np.ndarray, Tensor, Image.Image)):
        image = open_image(image)
    if isinstance(image, Image.Image):
        return ImageOps.mirror(image)
    # Of arrays the width is the second axis, of tensors the last.
    return image.flip(-1) if isinstance(image, Tensor) else image[:, ::-1]


def _scaled(batch: dict[str, Any], scale: float, divisor: int) -> dict[str, Any]:
    """The prepared batch at another size, sides rounded to multiples of `divisor`."""
    values, mask = batch["pixel_values"], batch["pixel_mask"]
    size = [max(1, round(side * scale / divisor)) * divisor for side in values.shape[-2:]]
    resized = functional.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)
    if mask is not None:
        mask = functional.interpolate(mask[:, None].float(), size=size, mode="nearest")[:, 0] > 0.5
    return {"pixel_values": resized, "pixel_mask": mask}
