"""A flat recipe as the content of a `config.json`: what the converters of all heads have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any

from backbonekit.contract.features import Level
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.fields import ModelFields
from backbonekit.heads.shared_checkpoint.nested_backbone import read_nested, written_backbone


class WrittenRecipe:
    """The parts of a flat and complete recipe, by which a converter writes its fields.

    `head`, `criterion`: options. `necks`: those of each neck, in order. `backbone`: the `backbone_config`. `levels`:
    the maps that the backbone returns. `ignore_label`: of pixels, None where the recipe has none. Raises RecipeError
    for other necks than `necks`, and for a backbone that transformers has no field for.
    """

    def __init__(self, recipe: Mapping[str, Any], model: str, *, necks: Sequence[str] = ()) -> None:
        given = recipe["neck"]
        listed = [] if given is None else given if isinstance(given, list) else [given]
        names = [neck["name"] for neck in listed]
        faults: list[str] = []
        if names != list(necks):
            faults.append(
                f"neck: transformers' {model} has {' and '.join(necks) or 'none'}, and this model"
                f" {' and '.join(names) or 'none'}."
            )
        self.head: Mapping[str, Any] = recipe["head"]
        self.criterion: Mapping[str, Any] = self.head.get("criterion") or {}
        self.necks: list[Mapping[str, Any]] = listed
        self.backbone = written_backbone(recipe["backbone"], faults)
        if self.backbone.get("model_type") == "vitpose_backbone" and model != "ViTPose":
            faults.append(f"backbone: transformers' {model} reads maps, and its vitpose_backbone returns tokens.")
        nested = None if faults else read_nested(self.backbone, faults)
        if nested is None or faults:
            raise RecipeError(faults)
        assert nested.levels is not None  # its maps are chosen
        self.levels: tuple[Level, ...] = nested.levels
        self.freezes_norms = recipe["training"].get("freeze", {}).get("norms", False)
        self.ignore_label = recipe["processing"].get("ignore_label")
        self._recipe = recipe

    def config(self, model_type: str, architecture: str, known: type[ModelFields], **fields: Any) -> dict[str, Any]:
        """The whole content. Fields that are None are left out, and so are those that transformers reads as whole
        numbers alone and that are none. `known`: the class of the fields."""
        described = {"model_type": model_type, "architectures": [architecture], "backbone_config": self.backbone}
        whole = {item.name for item in dataclass_fields(known) if type(item.default) is int}
        written = {}
        for name, value in fields.items():
            fits = int(value) if name in whole and isinstance(value, float) and value == int(value) else value
            if value is not None and not (name in whole and isinstance(fits, float)):
                written[name] = fits
        return {**described, **class_fields(self._recipe), **written}

    def check_layers(self, num_predictors: int) -> None:
        """Raises RecipeError for a single predictor: transformers ties the others to the first, and fails without."""
        if num_predictors < 2:
            raise RecipeError(["head.num_layers=1: transformers does not build a decoder with one predictor of boxes."])

    def of_criterion(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Fields whose option, the value here, the criterion has."""
        return {field: self.criterion[option] for field, option in fields.items() if option in self.criterion}


def class_fields(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the classes' names; none of a head without classes."""
    count = recipe["head"].get("num_classes")
    if count is None:
        return {}
    labels = recipe["labels"]
    names = labels["names"] if isinstance(labels, Mapping) else labels
    names = names or [f"LABEL_{number}" for number in range(count)]
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def renamed(options: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a table, field -> option, with the values of the options."""
    return {field: options[option] for field, option in fields.items()}
