"""The option table: what every shipped part takes, read from a file, so that a recipe is checked without torch.

Written from the constructors' signatures by `python -m backbonekit.registry.table`; a test fails if that was forgotten.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import check_declarations, resolve, target_of

FILE = Path(__file__).with_name("table.json")
Options = Mapping[str, Mapping[str, Any]]
# The kinds whose constructors have options; a backbone's come with its architecture.
WITH_OPTIONS = ("neck", "head", "criterion", "data", "augmentation")
# Of a criterion: options that wiring passes on, the head's number of classes and the label that processing ignores.
WIRED = frozenset({"num_classes", "ignore_label"})


def options(kind: str, name: str) -> Options | None:
    """Option -> {"schema", "default" unless required, "doc"} of a part of `WITH_OPTIONS`.

    None for a part that is not imported yet: an installed plugin's options are checked when it is built.
    """
    target = target_of(kind, name)
    if isinstance(target, str):
        return _table()[kind][name]["options"] if target == BUILTIN[kind].get(name) else None
    return _options_of_class(kind, target)


def shipped_options(kind: str, name: str) -> Options:
    """The options of a part that ships, whatever else is registered under its name."""
    return _table()[kind][name]["options"]


def imported_options(kind: str, name: str, faults: list[str]) -> Options | None:
    """The same as `options`, of an installed plugin too, which is imported for it; None where that fails, and then
    `faults` says why."""
    found = options(kind, name)
    if found is None:
        try:
            return _options_of_class(kind, resolve(kind, name))
        except RecipeError as error:
            faults.extend(error.faults)
        except TypeError as error:  # a signature that YAML has no words for
            faults.append(f"the {kind} {name!r}: {error}.")
    return found


def _options_of_class(kind: str, part: Any) -> Options:
    from backbonekit.contract.option_schema import options_of

    found = options_of(part)
    return {option: found[option] for option in found if kind != "criterion" or option not in WIRED}


def default_criterion(head: str) -> str | None:
    """The registry name of a head's own loss; None where it has none or is not known yet."""
    target = target_of("head", head)
    if isinstance(target, str):
        return _table()["head"][head]["criterion"] if target == BUILTIN["head"].get(head) else None
    check_declarations("head", head, target, declared=("criterion",))
    return target.criterion


def summary(kind: str, name: str) -> str:
    """The first sentence of a shipped part's docstring; empty for others."""
    return _table().get(kind, {}).get(name, {}).get("doc", "")


def config_fields(model_type: str) -> Options | None:
    """The fields of a family's configuration; None for a model type that is not built here."""
    return _table()["config"]["families"].get(model_type)


def config_families() -> tuple[str, ...]:
    """Every model type of transformers that is built here."""
    return tuple(_table()["config"]["families"])


def ignored_config_fields(model_type: str) -> frozenset[str]:
    """Fields of a `config.json` that do not describe the architecture and are skipped."""
    config = _table()["config"]
    return frozenset(config["ignored"]) | frozenset(config["derived"].get(model_type, ()))


def processing_fields() -> Options:
    """The fields of `processing`."""
    return _table()["processing"]


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def main() -> None:
    """Writes the table again."""
    from backbonekit.registry.write_table import table_text

    FILE.write_text(table_text(), encoding="utf-8")
    _table.cache_clear()


if __name__ == "__main__":
    main()
