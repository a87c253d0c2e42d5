"""Boxes that are final, and the masks on them, in the image's own pixels."""

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from backbonekit.contract.predictions import Detections
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import InstanceResult
from backbonekit.postprocessing.box_geometry import on_original, within_shown

MASK_THRESHOLD = 0.5


def place_detections(
    prediction: Detections, geometries: Sequence[Geometry], *, threshold: float = 0.5, top_k: int | None = None
) -> list[InstanceResult]:
    """Boxes that score above `threshold`, best first, with their masks laid on the image. `top_k`: how many at most.

    Source: He et al., Mask R-CNN (2017), section 3.1; torchvision/models/detection/transform.py: postprocess.
    """
    results = []
    for index, geometry in enumerate(geometries):
        scores = prediction.scores[index]
        kept = (scores > threshold).nonzero()[:, 0][:top_k]  # the head answers best first
        boxes = on_original(within_shown(prediction.boxes_xyxy[index][kept], geometry), geometry).cpu().float()
        results.append(
            InstanceResult(
                labels=prediction.labels[index][kept].cpu(),
                scores=scores[kept].cpu().float(),
                boxes_xyxy=boxes,
                masks=None
                if prediction.mask_probabilities is None
                else _laid(prediction.mask_probabilities[index][kept].cpu().float(), boxes, geometry.original),
            )
        )
    return results


def _laid(probabilities: Tensor, boxes_xyxy: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, 1, side, side] on boxes -> bool [N, height, width] on the image."""
    return paste_masks_in_image(probabilities, boxes_xyxy, size)[:, 0] > MASK_THRESHOLD
