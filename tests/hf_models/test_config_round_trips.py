"""What a configuration writes it reads: every field of every class, set to another value, saved and opened."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import backbonekit as bk
from backbonekit.backbones.hf.class_names import CLASS_NAMES, config_name
from backbonekit.contract.option_schema import schema_of
from backbonekit.errors import ContractError, RecipeError
from backbonekit.registry.model_names import MODELS

pytestmark = pytest.mark.slow  # some thousand configurations

FAMILIES = {config_name(model_type): {} for model_type in CLASS_NAMES}
WHOLE = {entry.config: {} for entry in MODELS.values()}
WHOLE["DPTConfig"] = {"backbone_config": {"model_type": "dinov2", "out_indices": [3, 6, 9, 12]}}
ALL = {**FAMILIES, **WHOLE, "TimmBackboneConfig": {"backbone": "test_resnet"}}
OTHERS: dict[str, list[Any]] = {
    "id2label": [{1: "cat", 2: "dog"}, {-1: "none", 0: 7}, {1: "b", 0: "a"}],
    "label2id": [{"cat": 1, "dog": 0}],
    "num_labels": [5],
    "out_indices": [[1, 2], [2]],
    "out_features": [["stage1", "stage2"], ["stage2"]],
    "dtype": ["float16"],
    "attn_implementation": ["eager"],
    "architectures": [["Odd"]],
}
# Of one file: a file that is read again has its own.
OF_ONE_FILE = ("name_or_path", "architectures", "transformers_version")


def other_values(schema: dict[str, Any], value: Any) -> list[Any]:
    """Values that may be legal in place of `value`."""
    kinds = schema.get("anyOf", [schema])
    found: list[Any] = []
    for kind in kinds:
        if "enum" in kind:
            found += kind["enum"]
        elif kind.get("type") == "boolean":
            found += [True, False]
        elif kind.get("type") == "integer":
            found += [value + 1, value * 2] if isinstance(value, int) else [2, 8]
        elif kind.get("type") == "number":
            found += [value / 2 + 0.125, 0.25] if isinstance(value, int | float) else [0.25]
        elif kind.get("type") == "string":
            found += ["other"]
        elif kind.get("type") == "array" and isinstance(value, tuple | list):
            found += [[each * 2 if isinstance(each, int) and not isinstance(each, bool) else each for each in value]]
    return [each for each in found if each != value]


def variants(name: str) -> list[tuple[str, Any, Any]]:
    """(field, value, configuration) of every field that another value is accepted for."""
    cls = getattr(bk, name)
    hints = get_type_hints(cls, include_extras=True)
    plain = cls(**ALL[name])
    found = []
    for field in [item.name for item in fields(cls)] + ["out_indices", "out_features", "num_labels", "id2label"]:
        if field in OF_ONE_FILE or field in ALL[name]:
            continue
        candidates = OTHERS.get(field)
        if candidates is None:
            try:
                candidates = other_values(schema_of(hints[field]), getattr(plain, field))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue  # a nested configuration
        for value in candidates:
            try:
                found.append((field, value, cls(**ALL[name], **{field: value})))
            except (RecipeError, ContractError, TypeError):
                continue  # refused, as it should be: nothing is written
            if field not in OTHERS:
                break  # one value of a field is enough
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    found = variants(name)
    assert len({field for field, _, _ in found}) >= 8, [field for field, _, _ in found]
    for field, value, config in found:
        config.save_pretrained(tmp_path)
        again = type(config).from_pretrained(tmp_path)
        assert again.to_dict() == config.to_dict(), (field, value)
        assert getattr(again, field) == getattr(config, field), (field, value)
