"""A result over its image, whatever kind of result it is."""

from collections.abc import Mapping

from PIL import Image

from backbonekit.contract.labels import Labels
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


def draw(image: ImageLike, result: Result | Mapping[str, Result], labels: Labels | None = None) -> Image.Image:
    """A new RGB image of the same size, upright. Results by task stand side by side, titled.

    `image`: what was given to `predict`. `labels`: the names of the classes; without them, their numbers are drawn.
    """
    image = to_image(image)
    if isinstance(result, Mapping):
        return overview(
            [draw(image, one, labels) for one in result.values()], titles=list(result), largest=max(image.size)
        )
    if isinstance(result, ClassResult):
        return draw_classes(image, result, labels)
    if isinstance(result, KeypointResult):
        return draw_keypoints(image, result, labels)
    size = _size(result)
    if size is not None and size != (image.height, image.width):
        raise ContractError(
            f"this result is of an image of {size[0]} x {size[1]} pixels (height x width); "
            f"the image has {image.height} x {image.width}."
        )
    if isinstance(result, DepthResult):
        return draw_depth(image, result)
    if isinstance(result, SemanticResult):
        return draw_semantic(image, result, labels)
    if isinstance(result, PanopticResult):
        return draw_panoptic(image, result, labels)
    return draw_instances(image, result, labels)


def _size(result: DepthResult | SemanticResult | PanopticResult | InstanceResult) -> tuple[int, int] | None:
    if isinstance(result, InstanceResult):
        grid = result.masks
    else:
        grid = result.depth if isinstance(result, DepthResult) else result.segmentation
    return None if grid is None else (grid.shape[-2], grid.shape[-1])
