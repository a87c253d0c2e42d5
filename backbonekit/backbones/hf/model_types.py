"""The families of the table in `class_names.py`, each imported on first use."""

from importlib import import_module

from backbonekit.backbones.hf.class_names import CLASS_NAMES, module_name
from backbonekit.backbones.hf.family import Family
from backbonekit.errors import RecipeError, nearest


def model_types() -> tuple[str, ...]:
    """Every model type that is built here."""
    return tuple(CLASS_NAMES)


def family(model_type: str) -> Family:
    """The family of a `config.json`'s `model_type`. Raises RecipeError with the nearest one."""
    if model_type not in CLASS_NAMES:
        raise RecipeError(
            f"model_type {model_type!r} is no backbone that is built here; {nearest(str(model_type), CLASS_NAMES)}"
            f" For any other backbone of transformers: source: transformers."
        )
    return import_module(f"{__package__}.families.{module_name(model_type)}").FAMILY
