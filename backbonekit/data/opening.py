"""Settings as plain data to a data source and to augmentations: names of the registry, checked before torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backbonekit.contract.datasets import DataSource
from backbonekit.contract.label_map import label_map_faults
from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError
from backbonekit.recipe.part_options import read_part
from backbonekit.recipe.recipe import PartRecipe
from backbonekit.registry.lookup import names, resolve

if TYPE_CHECKING:
    from backbonekit.data.augmentation.sample import Step


def open_data(settings: Mapping[str, Any]) -> DataSource:
    """The data set of `{"name": "coco", "root": "photos", "train": "train.json", "val": "val.json"}`.

    Raises RecipeError with every fault of the settings, StorageError for files that are not there. Annotations are read
    when a split or the labels are first used.
    """
    faults: list[str] = []
    part = read_data(settings, "data", faults)
    if faults or part is None:
        raise RecipeError(faults)
    return resolve("data", part.name)(**part.options)


def read_data(settings: Any, path: str, faults: list[str]) -> PartRecipe | None:
    """The settings with every option filled in; appends to `faults`. Imports no torch."""
    part = read_part("data", _with_text_keys(settings), path, faults)
    label_map = None if part is None else part.options.get("label_map")
    faults += [] if label_map is None else label_map_faults(f"{path}.label_map", label_map)
    return part


def open_augmentation(settings: Sequence[Mapping[str, Any]]) -> "list[Step]":
    """The steps of `[{"name": "horizontal_flip", "probability": 0.5}, ...]`, in their order.

    Raises RecipeError with every fault of all steps.
    """
    faults: list[str] = []
    parts = read_augmentation(settings, "augmentation", faults)
    if faults:
        raise RecipeError(faults)
    return [resolve("augmentation", part.name)(**part.options) for part in parts]


def read_augmentation(settings: Any, path: str, faults: list[str]) -> list[PartRecipe]:
    """Every step with its options filled in; appends to `faults`. Imports no torch."""
    if not isinstance(settings, Sequence) or isinstance(settings, str):
        faults.append(
            f"{path}: given {shown(settings)}, must be a list of steps such as "
            f"[{{name: horizontal_flip, probability: 0.5}}]. The steps are {', '.join(names('augmentation'))}."
        )
        return []
    read = [read_part("augmentation", step, f"{path}.{index}", faults) for index, step in enumerate(settings)]
    return [part for part in read if part is not None]


def _with_text_keys(settings: Any) -> Any:
    """Whole numbers as keys, as `label_map: {7: 1}` has them, become text, as in a recipe."""
    if not isinstance(settings, Mapping):
        return settings
    return {str(key) if type(key) is int else key: _with_text_keys(value) for key, value in settings.items()}
