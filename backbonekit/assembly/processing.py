"""How a composed model's images are prepared: as the backbone was trained, with the recipe's values over it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backbonekit.assembly.wire import Wiring
from backbonekit.contract.predictions import ClassScores
from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import prediction_of
from backbonekit.recipe.recipe import Recipe


def merge_processing(wiring: Wiring, recipe: Recipe) -> Processing:
    """The backbone's processing with the recipe's values over it.

    Mean and std of the backbone are of an image in [0, 1]; with `range` they are converted to its units. A single value
    counts for every channel.

    A way to resize replaces the other ways. Most backbones were trained in classifiers, which cut the
    image's borders off. A model whose prediction has positions in the image resizes to the crop's size instead.
    """
    processing = wiring.blueprint.processing
    given = {key: _frozen(value) for key, value in recipe.processing.items()}
    heads = [task.head for task in wiring.tasks if task.head is not None]
    if processing.crop is not None and any(prediction_of(head.part) is not ClassScores for head in heads):
        processing = _without_resize(processing, size=processing.crop)
    if given.keys() & {"size", "shortest_edge", "longest_edge", "max_size"}:
        processing = _without_resize(processing)
    for key in ("mean", "std"):
        if len(given.get(key) or ()) == 1:
            given[key] *= recipe.backbone.in_channels
    return replace(_in_units(processing, given.get("range")), **given)


def statistics_notes(wiring: Wiring, recipe: Recipe) -> list[str]:
    """What to tell where the backbone's statistics, which are of three colours, stand for other channels."""
    mean, channels = wiring.blueprint.processing.mean, recipe.backbone.in_channels
    if recipe.processing.get("mean") or channels in (1, 3) or len(set(mean)) > 1:
        return []
    return [
        f"mean and std of the {channels} channels are the average of the backbone's colours; give processing.mean and "
        "processing.std of your own bands"
    ]


def _in_units(processing: Processing, value_range: tuple[float, float] | None) -> Processing:
    if value_range is None:
        return processing
    low, high = value_range
    mean = tuple(low + value * (high - low) for value in processing.mean)
    return replace(processing, mean=mean, std=tuple(value * (high - low) for value in processing.std))


def _without_resize(processing: Processing, size: tuple[int, int] | None = None) -> Processing:
    return replace(
        processing,
        size=size,
        shortest_edge=None,
        longest_edge=None,
        max_size=None,
        keep_aspect_ratio=False,
        multiple_of=1,
        crop=None,
        border="black",
        rounding="down",
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
