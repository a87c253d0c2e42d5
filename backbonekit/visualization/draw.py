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
from backbonekit.visualization.instance import draw_instances, instance_entries
from backbonekit.visualization.keypoints import draw_keypoints
from backbonekit.visualization.legend import Entry, with_legend
from backbonekit.visualization.overview import overview
from backbonekit.visualization.segmentation import draw_panoptic, draw_semantic, panoptic_entries, semantic_entries
from backbonekit.visualization.shown import classes_above, keypoints_above, segments_above, things_above
from backbonekit.visualization.stamp import stamped
from backbonekit.visualization.text import NUM_NAMES


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a kind of result is drawn. `over`: of an image, a result and the labels, the new image; with `has_names` it
    takes the largest number of names too. `grid`: of a result, its map [..., height, width], which must have the size
    of the image; None where it has none. `above`: of a result, what of it reaches a score; None where a result has no
    scores. `entries`: of a result and the labels, those of the legend; None where a legend would say nothing."""

    over: Callable[..., Image.Image]
    grid: Callable[[Any], Tensor | None] = lambda result: None
    above: Callable[[Any, float], Any] | None = None
    entries: Callable[[Any, Labels | None], list[Entry]] | None = None
    has_names: bool = False


DRAWINGS: dict[type[Result], Drawing] = {
    ClassResult: Drawing(draw_classes, above=classes_above),
    KeypointResult: Drawing(draw_keypoints, above=keypoints_above),
    DepthResult: Drawing(lambda image, result, labels: draw_depth(image, result), lambda result: result.depth),
    SemanticResult: Drawing(
        draw_semantic, lambda result: result.segmentation, entries=semantic_entries, has_names=True
    ),
    PanopticResult: Drawing(
        draw_panoptic, lambda result: result.segmentation, segments_above, panoptic_entries, has_names=True
    ),
    InstanceResult: Drawing(
        draw_instances, lambda result: result.masks, things_above, instance_entries, has_names=True
    ),
}


def draw(
    image: ImageLike,
    result: Result | Sequence[KeypointResult] | Mapping[str, Result],
    labels: Labels | LabelsByTask | None = None,
    *,
    bands: Sequence[int] | None = None,
    threshold: float | None = None,
    num_names: int = NUM_NAMES,
    legend: bool = False,
    stamp: str | None = None,
) -> Image.Image:
    """A new RGB image of the same size, upright. Results by task are side by side, titled; the keypoints of several
    persons are in one image.

    `image`: what was given to `predict`. `labels`: the names of the classes, or by task those of each task
    (`model.result_labels()`); without them, their numbers are drawn.
    `bands`: the channels shown as red, green and blue, or one shown as grey, counted from 0; None: the first three.
    `threshold`: the lowest score that is drawn, of results with scores; None: all of the result.
    `num_names`: how many things or regions are named at most, the best or the largest first.
    `legend`: a panel at the right of masks, boxes and segmentations: each class with its colours, and the number of its
    things or its share of the image. The image is then wider; one that is narrower than the panel has none.
    `stamp`: a warning over it, such as `model.weights_warning`: weights that were never trained.
    Raises ContractError for a result of another size, or of a kind that has no drawing.
    """
    image = to_image(image, bands)
    by_task = result if isinstance(result, Mapping) else {"": result}
    each = {task: _results(one) for task, one in by_task.items()}
    _check(threshold, num_names, [one for results in each.values() for one in results])
    tiles = []
    for task, results in each.items():
        shown, names = [_above(one, threshold) for one in results], labels_of(labels, task)
        tile = _drawn(image, shown, names, num_names)
        tile = tile if stamp is None else stamped(tile, stamp)
        tiles.append(_with_legend(tile, shown, names) if legend else tile)
    if not isinstance(result, Mapping):
        return tiles[0]
    return overview(tiles, titles=list(each), largest=max(max(tile.size) for tile in tiles))


def _drawn(image: Image.Image, results: Sequence[Result], labels: Labels | None, num_names: int) -> Image.Image:
    for result in results:
        grid = _drawing(result).grid(result)
        if grid is not None and tuple(grid.shape[-2:]) != (image.height, image.width):
            raise ContractError(
                f"this result is of an image of {grid.shape[-2]} x {grid.shape[-1]} pixels (height x width); "
                f"the image has {image.height} x {image.width}."
            )
        drawing = _drawing(result)
        limit = (num_names,) if drawing.has_names else ()
        image = drawing.over(image, result, labels, *limit)
    return image


def _with_legend(image: Image.Image, results: Sequence[Result], labels: Labels | None) -> Image.Image:
    entries = _drawing(results[0]).entries if len(results) == 1 else None
    return image if entries is None else with_legend(image, entries(results[0], labels))


def _results(given: Result | Sequence[Any]) -> Sequence[Result]:
    """One result, or those of the persons of one image."""
    if not isinstance(given, list | tuple):
        return [given]  # type: ignore[list-item]
    other = [one for one in given if not isinstance(one, KeypointResult)]
    if other:
        raise ContractError(
            f"{len(given)} results in a list, and one image: only the keypoints of several persons belong together. "
            "The fix: one result, such as model.predict(images)[0]."
        )
    return given


def _drawing(result: Result) -> Drawing:
    if type(result) not in DRAWINGS:
        known = ", ".join(sorted(kind.__name__ for kind in DRAWINGS))
        raise ContractError(f"{type(result).__name__} cannot be drawn; kinds of result that can: {known}.")
    return DRAWINGS[type(result)]


def _above(result: Result, threshold: float | None) -> Any:
    above = _drawing(result).above
    return result if above is None or threshold is None else above(result, threshold)


def _check(threshold: float | None, num_names: int, results: Sequence[Result]) -> None:
    if num_names < 0:
        raise ContractError(f"num_names={num_names}: must be a whole number from 0.")
    if threshold is None:
        return
    if not 0.0 <= threshold <= 1.0:
        raise ContractError(f"threshold={threshold}: must be a number from 0 to 1.")
    if results and all(_drawing(one).above is None for one in results):
        kinds = " and ".join(sorted({type(one).__name__ for one in results}))
        raise ContractError(f"threshold={threshold}: {kinds} has no scores that it could be compared with.")
