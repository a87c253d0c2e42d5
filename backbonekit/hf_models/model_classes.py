"""Configuration and class of each whole model, made of the table of models when first asked for.

`model_faces.pyi` says them out for type checkers and editors; `python -m backbonekit.hf_models.write_stubs` writes it.
"""

from functools import cache
from typing import Any

from backbonekit.hf_models import model_kinds
from backbonekit.hf_models.model_config import ModelConfig
from backbonekit.hf_models.whole_model import WholeModel
from backbonekit.registry.model_names import MODELS, model_class_names

_PUBLISHED_IN = "backbonekit.hf_models"  # where pickle and people find the classes


@cache
def model_config_class(model_type: str) -> type[ModelConfig]:
    named = MODELS[model_type]
    members = {
        "__module__": _PUBLISHED_IN,
        "__doc__": f"The fields of `{named.architecture}`.\n\n{ModelConfig.__doc__}",
        "model_type": model_type,
        "architecture": named.architecture,
    }
    return type(named.config, (ModelConfig,), members)


@cache
def model_class(model_type: str) -> type[WholeModel]:
    named = MODELS[model_type]
    kind: type[WholeModel] = getattr(model_kinds, named.predictions)
    members = {
        "__module__": _PUBLISHED_IN,
        "__doc__": f"{kind.__doc__}\n\n{WholeModel.__doc__}",
        "config_class": model_config_class(model_type),
    }
    return type(named.architecture, (kind,), members)


def __getattr__(name: str) -> Any:
    model_type = model_class_names().get(name)
    if model_type is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return (model_config_class if name == MODELS[model_type].config else model_class)(model_type)
