"""Writes what type checkers and editors read of names that load lazily: `python -m backbonekit.hf_models.write_stubs`.

A test tells if that was forgotten after a name came or went.
"""

from pathlib import Path

import backbonekit
import backbonekit.hf_models
from backbonekit.backbones.hf.class_names import CLASS_NAMES, backbone_name, config_name, module_name
from backbonekit.registry.model_names import MODELS

_PACKAGE = Path(backbonekit.__file__).parent
_HEADER = (
    "# Written by `python -m backbonekit.hf_models.write_stubs`; a test tells if that was forgotten.\n# ruff: noqa\n\n"
)
_ERRORS = ("RecipeError", "ContractError", "WeightsError", "StorageError")


def stubs() -> dict[Path, str]:
    """Each file and its content."""
    return {
        _PACKAGE / "hf_models" / "backbone_classes.pyi": _faces(),
        _PACKAGE / "hf_models" / "model_classes.pyi": _model_faces(),
        _PACKAGE / "hf_models" / "__init__.pyi": _names(backbonekit.hf_models._PUBLIC, []),
        _PACKAGE / "__init__.pyi": _names(
            {
                **backbonekit._PUBLIC,
                **dict.fromkeys(backbonekit.hf_models._PUBLIC, "backbonekit.hf_models"),
                **dict.fromkeys(_ERRORS, "backbonekit.errors"),
            },
            ["from backbonekit.version import VERSION as __version__"],
        ),
    }


def _faces() -> str:
    lines = ["from dataclasses import dataclass", "from typing import ClassVar", ""]
    lines += [
        f"from backbonekit.backbones.hf.families.{module_name(model_type)} import {name}Architecture"
        for model_type, name in sorted(CLASS_NAMES.items(), key=lambda pair: module_name(pair[0]))
    ]
    lines += [
        "from backbonekit.hf_models.config_mixin import BackboneConfigMixin",
        "from backbonekit.hf_models.staged_backbone import FamilyBackbone",
        "",
        "def config_class(model_type: str) -> type[BackboneConfigMixin]: ...",
        "def backbone_class(model_type: str) -> type[FamilyBackbone]: ...",
    ]
    for model_type, name in CLASS_NAMES.items():
        lines += [
            "",
            "@dataclass(kw_only=True)",
            f"class {config_name(model_type)}(BackboneConfigMixin, {name}Architecture): ...",
            "",
            f"class {backbone_name(model_type)}(FamilyBackbone):",
            f"    config_class: ClassVar[type[BackboneConfigMixin]] = {config_name(model_type)}",
        ]
    return _HEADER + "\n".join(lines) + "\n"


def _model_faces() -> str:
    kinds = ", ".join(sorted({named.predictions for named in MODELS.values()}))
    lines = ["from typing import ClassVar", ""]
    lines += [
        "from backbonekit.hf_models.model_config import ModelConfig",
        f"from backbonekit.hf_models.model_kinds import {kinds}",
        "from backbonekit.hf_models.whole_model import WholeModel",
        "",
        "def model_config_class(model_type: str) -> type[ModelConfig]: ...",
        "def model_class(model_type: str) -> type[WholeModel]: ...",
    ]
    for named in MODELS.values():
        lines += [
            "",
            f"class {named.config}(ModelConfig): ...",
            "",
            f"class {named.architecture}({named.predictions}):",
            f"    config_class: ClassVar[type[ModelConfig]] = {named.config}",
        ]
    return _HEADER + "\n".join(lines) + "\n"


def _names(modules: dict[str, str], others: list[str]) -> str:
    imports = [f"from {module} import {name} as {name}" for name, module in modules.items()]
    return _HEADER + "\n".join([*sorted(imports), *others, "", "_PUBLIC: dict[str, str]"]) + "\n"


def main() -> None:
    """Writes the files again."""
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
