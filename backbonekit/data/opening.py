"""Settings as plain data to a data source and to augmentations: names of the registry, checked before torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backbonekit.contract.datasets import DataSource
from backbonekit.errors import RecipeError
from backbonekit.recipe.experiment_sections import PAPER, read_augmentation, read_data
from backbonekit.registry.lookup import resolve

if TYPE_CHECKING:
    from backbonekit.data.augmentation.sample import Step


def open_data(settings: Mapping[str, Any]) -> DataSource:
    """The data set of `{"name": "coco", "root": "photos", "train": "train.json", "val": "val.json"}`.

    Raises RecipeError with every fault of the settings, StorageError for files that are not there. Annotations are read
    when a split or the labels are first used.
    """
    faults: list[str] = []
    read = read_data(_with_text_keys(settings), faults)
    if read is None and not faults:
        faults.append("data: none was given, such as {name: coco, root: photos, train: train.json}.")
    if faults or read is None:
        raise RecipeError(faults)
    return resolve("data", read["name"])(**_options(read))


def open_augmentation(settings: Sequence[Mapping[str, Any]] | None) -> "list[Step]":
    """The steps of `[{"name": "horizontal_flip", "probability": 0.5}, ...]`, in their order; None: no step.

    Raises RecipeError with every fault of all steps, and for `paper`, which `paper_steps` makes steps of.
    """
    faults: list[str] = []
    read = read_augmentation(_with_text_keys(settings), faults)
    if read == PAPER:
        faults.append("augmentation=paper follows a model: paper_steps(heads, processing) has its steps.")
    if faults:
        raise RecipeError(faults)
    return [resolve("augmentation", step["name"])(**_options(step)) for step in read or () if isinstance(step, Mapping)]


def _options(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "name"}


def _with_text_keys(settings: Any) -> Any:
    """Whole numbers as keys, as `label_map: {7: 1}` has them, become text, as in a recipe."""
    if isinstance(settings, list | tuple):
        return [_with_text_keys(one) for one in settings]
    if not isinstance(settings, Mapping):
        return settings
    return {str(key) if type(key) is int else key: _with_text_keys(value) for key, value in settings.items()}
