"""A result over its image, whatever kind of result it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from backbonekit.contract.labels import Labels, LabelsByTask, labels_of
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    Result,
    SemanticResult,
)
from backbonekit.errors import ContractError
from backbonekit.image_processing.pixels import ImageLike, to_image
from backbonekit.visualization.classes import draw_classes
from backbonekit.visualization.depth import draw_depth
from backbonekit.visualization.instance import draw_instances
from backbonekit.visualization.keypoints import draw_keypoints
from backbonekit.visualization.overview import overview
from backbonekit.visualization.segmentation import draw_panoptic, draw_semantic


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a kind of result is drawn. `over`: of an image, a result and the labels, the new image. `grid`: of a result,
    its map [..., height, width], which must have the size of the image; None where it has none."""

    over: Callable[[Image.Image, Any, Labels | None], Image.Image]
    grid: Callable[[Any], Tensor | None] = lambda result: None


DRAWINGS: dict[type[Result], Drawing] = {
    ClassResult: Drawing(draw_classes),
    KeypointResult: Drawing(draw_keypoints),
    DepthResult: Drawing(lambda image, result, labels: draw_depth(image, result), lambda result: result.depth),
    SemanticResult: Drawing(draw_semantic, lambda result: result.segmentation),
    PanopticResult: Drawing(draw_panoptic, lambda result: result.segmentation),
    InstanceResult: Drawing(draw_instances, lambda result: result.masks),
}


def draw(
    image: ImageLike,
    result: Result | Mapping[str, Result],
    labels: Labels | LabelsByTask | None = None,
    *,
    bands: Sequence[int] | None = None,
) -> Image.Image:
    """A new RGB image of the same size, upright. Results by task stand side by side, titled.

    `image`: what was given to `predict`. `labels`: the names of the classes, or by task those of each task
    (`model.result_labels()`); without them, their numbers are drawn.
    `bands`: the channels shown as red, green and blue, or one shown as grey, counted from 0; None: the first three.
    Raises ContractError for a result of another size, or of a kind that has no drawing.
    """
    image = to_image(image, bands)
    if isinstance(result, Mapping):
        return overview(
            [draw(image, one, labels_of(labels, task)) for task, one in result.items()],
            titles=list(result),
            largest=max(image.size),
        )
    drawing = DRAWINGS.get(type(result))
    if drawing is None:
        known = ", ".join(sorted(kind.__name__ for kind in DRAWINGS))
        raise ContractError(f"{type(result).__name__} cannot be drawn; kinds of result that can: {known}.")
    grid = drawing.grid(result)
    if grid is not None and tuple(grid.shape[-2:]) != (image.height, image.width):
        raise ContractError(
            f"this result is of an image of {grid.shape[-2]} x {grid.shape[-1]} pixels (height x width); "
            f"the image has {image.height} x {image.width}."
        )
    return drawing.over(image, result, labels_of(labels, ""))
