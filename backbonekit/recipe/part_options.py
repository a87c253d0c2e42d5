"""Checks necks, heads and criteria against the option table."""

from typing import Any

from backbonekit.contract.option_values import MAX_TEXT, PLAIN_DATA, coerced, faults_of, shown
from backbonekit.errors import NearestNames, nearest
from backbonekit.recipe.forbidden import shown_path
from backbonekit.recipe.recipe import PartRecipe
from backbonekit.recipe.schema_versions import new_name
from backbonekit.registry.lookup import is_known, names
from backbonekit.registry.table import default_criterion, options

# How other libraries name what wiring decides here.
_WIRED = ("in_channels", "in_features", "in_chans", "in_index", "input_channels", "in_strides", "input_shape")


def read_part(kind: str, data: Any, path: str, faults: list[str]) -> PartRecipe | None:
    """A part with every option filled in; appends to `faults`. A name alone is the part with its defaults."""
    if isinstance(data, str):
        data = {"name": data}
    if not isinstance(data, dict):
        faults.append(f"{path}: given {shown(data)}, must be a mapping such as {{name: {names(kind)[0]}}}.")
        return None
    if "name" not in data:
        faults.append(f"{path}.name is missing: which {_word(kind)}? The {_plural(kind)} are {', '.join(names(kind))}.")
        return None
    name = data["name"]
    if not is_known(kind, name):
        given = name if isinstance(name, str) else shown(name)
        faults.append(
            f"{path}.name: there is no {_word(kind)} named {shown(name)}; {nearest(given[:MAX_TEXT], names(kind))} "
            f"{part_of_your_own(kind)}"
        )
        return None
    given = {key: value for key, value in data.items() if key != "name" and (kind, key) != ("head", "criterion")}
    before = len(faults)
    read = _read_options(kind, name, given, path, faults)
    criterion = None
    if kind == "head" and data.get("criterion") is not None:
        criterion = _read_criterion(name, data["criterion"], f"{path}.criterion", faults)
    return PartRecipe(name, read, criterion) if len(faults) == before else None


def _read_criterion(head: str, data: Any, path: str, faults: list[str]) -> PartRecipe | None:
    own = default_criterion(head)
    if isinstance(data, dict) and "name" not in data and own is not None:
        data = {"name": own, **data}
    if isinstance(data, dict) and "num_classes" in data:
        faults.append(f"{path}.num_classes: a criterion has the classes of its head; leave it out.")
        data = {key: value for key, value in data.items() if key != "num_classes"}
    return read_part("criterion", data, path, faults)


def _read_options(kind: str, name: str, given: dict[str, Any], path: str, faults: list[str]) -> dict[str, Any]:
    table = options(kind, name)
    if table is None:  # an installed plugin's part, not imported yet
        for key, value in given.items():
            faults.extend(faults_of(shown_path(f"{path}.{key}"), value, PLAIN_DATA))
        return given
    read: dict[str, Any] = {}
    nearest_option = NearestNames(table)
    for key in given:
        if key not in table:
            now = new_name(kind, name, key)
            hint = nearest_option(key) if now is None else f"since schema version 2 it is named {now}."
            if key in _WIRED:
                hint = "its input is whatever the part before returns, which wiring decides. Leave it out."
            faults.append(f"{shown_path(f'{path}.{key}')}: {name} has no such option; {hint}")
    for key, option in table.items():
        if key in given:
            found = faults_of(f"{path}.{key}", given[key], option["schema"])
            faults.extend(found)
            if not found:
                read[key] = coerced(given[key], option["schema"])
        elif "default" in option:
            read[key] = coerced(option["default"], option["schema"])
        else:
            hint = " (background not counted), or give labels" if key == "num_classes" else ""
            faults.append(f"{path}.{key} is missing: {name} needs it{hint}.")
    return read


def takes_classes(head: Any) -> bool:
    """Whether the head of that name has a number of classes, as far as is known; one for depth has not."""
    table = options("head", head) if isinstance(head, str) and is_known("head", head) else None
    return table is None or "num_classes" in table


def part_of_your_own(kind: str) -> str:
    """How a part that does not ship becomes known, for messages on an unknown name."""
    return (
        f"{'An' if kind[0] in 'aeiou' else 'A'} {_word(kind)} of your own: --import MODULE that registers it (in "
        "Python bk.register), or the entry point "
        f"{kind}.NAME in backbonekit.parts of an installed package."
    )


def _word(kind: str) -> str:
    return {"data": "format of data"}.get(kind, kind)


def _plural(kind: str) -> str:
    return {"criterion": "criteria", "data": "formats of data"}.get(kind, f"{kind}s")
