"""Configuration and backbone class of each native family, made of the table of families when first asked for.

`faces.pyi` says them out for type checkers and editors; `python -m backbonekit.hf_models.write_stubs` writes it.
"""

from dataclasses import make_dataclass
from functools import cache
from typing import Any

from backbonekit.backbones.hf import class_names
from backbonekit.backbones.hf.model_types import family
from backbonekit.hf_models.config_call import told_by_name
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_backbone import FamilyBackbone

_PUBLISHED_IN = "backbonekit.hf_models"  # where pickle and people find the classes


@cache
def config_class(model_type: str) -> type[BackboneConfigMixin]:
    """A family's fields, and `out_features` or `out_indices`. Raises RecipeError with the nearest model type."""
    architecture = family(model_type).config_class
    name = class_names.config_name(model_type)
    made: Any = make_dataclass(name, [], bases=(BackboneConfigMixin, architecture), kw_only=True)
    made.__module__ = _PUBLISHED_IN
    made.__doc__ = (
        f"The fields of `{architecture.__name__}`, and `out_features` or `out_indices`.\n\n{architecture.__doc__}"
    )
    return told_by_name()(made)


@cache
def backbone_class(model_type: str) -> type[FamilyBackbone]:
    """The backbone class of a model type. Raises RecipeError with the nearest one."""
    config = config_class(model_type)
    return type(
        class_names.backbone_name(model_type),
        (FamilyBackbone,),
        {
            "__module__": _PUBLISHED_IN,
            "__doc__": f"Built from a `{config.__name__}`, or from weights with `from_pretrained`.",
            "config_class": config,
        },
    )


def __getattr__(name: str) -> Any:
    model_type = class_names.public_names().get(name)
    if model_type is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return (config_class if name == class_names.config_name(model_type) else backbone_class)(model_type)
