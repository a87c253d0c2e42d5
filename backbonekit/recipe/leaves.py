"""A recipe as its single values by dotted path, and what differs between two recipes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class _Absent:
    """The value of a key that is not there, which null is not."""

    def __repr__(self) -> str:
        return "-"


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """`before` and `after`: the values of `key` in two recipes, ABSENT where it has none."""

    key: str
    before: Any
    after: Any

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without a value where there is none."""
        values = {"before": self.before, "after": self.after}
        return {"key": self.key, **{side: value for side, value in values.items() if value is not ABSENT}}


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every value, in order. A list of values is one value, a list of mappings (necks) is not."""
    if isinstance(data, Mapping) and (data or not path):
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        for index, item in enumerate(data):
            yield from leaves(item, f"{path}.{index}")
    else:
        yield path, data


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every value in which two recipes in their flat form differ, section by section."""
    old, new = dict(leaves(before)), dict(leaves(after))
    found = [
        Difference(key, old.get(key, ABSENT), new.get(key, ABSENT))
        for key in dict.fromkeys([*old, *new])
        if key not in old or key not in new or old[key] != new[key]
    ]
    sections = list(dict.fromkeys(_section(key) for key in [*old, *new]))
    return sorted(found, key=lambda each: sections.index(_section(each.key)))


def _section(key: str) -> str:
    return key.partition(".")[0]


def lookup(data: Any, steps: tuple[str, ...]) -> Any:
    """The value at a path, or ABSENT. Of a single neck, number 0 is the neck itself, as overrides have it."""
    for position, step in enumerate(steps):
        if isinstance(data, Mapping):
            is_single_neck = step == "0" and position > 0 and steps[position - 1] == "neck" and step not in data
            data = data if is_single_neck else data.get(step, ABSENT)
        elif isinstance(data, list) and step.isdecimal():
            data = data[int(step)] if int(step) < len(data) else ABSENT
        else:
            return ABSENT
    return data
