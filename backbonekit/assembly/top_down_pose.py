"""The keypoints of several persons in an image: each is cut out and predicted by itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backbonekit.assembly.inference import Predictor
from backbonekit.assembly.predict import predict
from backbonekit.contract.results import KeypointResult
from backbonekit.errors import ContractError
from backbonekit.image_processing.person_crop import cut_out, region_around
from backbonekit.image_processing.pixels import ImageLike, channels_of, to_pixels


def predict_people(
    model: Predictor,
    image: ImageLike,
    boxes_xyxy: Tensor | Sequence[Sequence[float]],
    *,
    margin: float = 1.25,
    threshold: float | None = None,
    batch_size: int = 16,
) -> list[KeypointResult]:
    """One result for each box, in the image's own pixels.

    `boxes_xyxy`: [N, 4], one around each person, in the upright image's pixels; a detector's, or drawn by hand.
    `margin`: how much larger the region is that the model sees; 1.25 is what ViTPose is trained with. `threshold`: the
    lowest score at which a keypoint counts as found (0).
    Raises ContractError for a box without an area, a model without heatmaps, or one whose processing has no fixed size.
    """
    processing = model.processor.processing
    if processing.size is None or processing.keep_aspect_ratio:
        raise ContractError(
            "persons are cut out at the model's own input size, and this model's processing has none. "
            "The fix: processing.size=[256, 192]."
        )
    boxes = torch.as_tensor(boxes_xyxy, dtype=torch.float64).reshape(-1, 4)
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1) | ~boxes.isfinite().all(dim=1)
    if empty.any():
        wrong = boxes[empty][0].tolist()
        raise ContractError(
            f"the box {[round(side, 2) for side in wrong]} has no area; boxes are left, top, right, bottom in pixels."
        )
    if not len(boxes):
        return []
    pixels = to_pixels(image, channels_of(processing))
    regions = [region_around((box[0], box[1], box[2], box[3]), processing.size, margin) for box in boxes.tolist()]
    crops: list[Any] = [cut_out(pixels, region) for region in regions]
    results = predict(model, crops, threshold=threshold, batch_size=batch_size)
    if not all(isinstance(result, KeypointResult) for result in results):
        raise ContractError("this model finds no keypoints of persons; one that does is model=vitpose_base.")
    return [
        replace(result, keypoints=region.to_image(result.keypoints.double()).float())
        for result, region in zip(results, regions, strict=True)
    ]
