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

    A way to resize replaces the other ways. Most backbones were trained in classifiers, which cut the
    image's borders off. A model whose prediction has positions in the image resizes to the crop's size instead.
    """
    processing = wiring.blueprint.processing
    given = {key: _frozen(value) for key, value in recipe.processing.items()}
    heads = [task.head for task in wiring.tasks if task.head is not None]
    if processing.crop is not None and any(prediction_of(head.part) is not ClassScores for head in heads):
        processing = replace(processing, size=processing.crop, shortest_edge=None, longest_edge=None, crop=None)
    if given.keys() & {"size", "shortest_edge", "longest_edge"}:
        resize = {
            "size": None,
            "shortest_edge": None,
            "longest_edge": None,
            "keep_aspect_ratio": False,
            "multiple_of": 1,
        }
        processing = replace(processing, crop=None, **resize)
    return replace(processing, **given)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
