"""What all configuration classes have in common: `config.json` on disk, and the refusal of unknown fields."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from backbonekit.errors import NearestNames, RecipeError
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.write_folder import replacing

FILE = "config.json"
Config = TypeVar("Config", bound=type)


def is_weight_file(name: str) -> bool:
    """Whether a file of a saved folder holds weights, or is their index."""
    return name.startswith("model") and name.endswith((".safetensors", ".safetensors.index.json"))


def write_config(content: Mapping[str, Any], folder: str | Path, *, name: str = FILE) -> None:
    """Into a folder, which is made if needed, in one atomic step. Raises StorageError."""
    with replacing(user_path(folder), stale=lambda _: False, last=name) as temporary:
        (temporary / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def refuses_unknown_fields(
    *,
    positional: int = 0,
    second_names: Mapping[str, str] | None = None,
    ignored: Collection[str] = (),
    kept: Collection[str] = (),
) -> Callable[[Config], Config]:
    """Class decorator of a dataclass: unknown fields are one RecipeError (a ValueError) with the nearest names, and so
    are more values without a name than `positional`. `second_names`: other names of fields, each
    with the first one. `ignored`: names that are accepted and have no effect. `kept`: names that are set in `others` of
    the object, a mapping."""

    def decorate(cls: Config) -> Config:
        from_fields = cls.__init__
        others = dict(second_names or {})
        known = [name for name in signature(from_fields).parameters if name != "self"]

        @wraps(from_fields)
        def refuse_or_make(self: Any, *values: Any, **given: Any) -> None:
            passed = (*others, *ignored, *kept)
            named = {name: value for name, value in given.items() if name in known or name not in passed}
            for name, first in others.items():
                if name in given and name not in known and named.get(first) is None:
                    named[first] = given[name]
            nearest_field = NearestNames(known)
            faults = [
                f"{type(self).__name__} has no field {name!r}; {nearest_field(name)}"
                for name in named
                if name not in known
            ]
            if len(values) > positional:
                without = "no value" if positional == 0 else f"only {' and '.join(known[:positional])}"
                faults.append(
                    f"{type(self).__name__} takes {without} without a name, got {str(values[positional])[:60]!r}."
                    f" The fix: NAME={str(values[positional])[:60]!r}."
                )
            missing = [name for name in known[len(values) : positional] if name not in named]
            if missing:
                faults.append(f"{type(self).__name__} needs {' and '.join(missing)}.")
            if faults:
                raise RecipeError(faults)
            from_fields(self, *values, **named)
            if kept:
                apart = {*known, *others}
                self.others.update({name: given[name] for name in given if name in kept and name not in apart})

        cls.__init__ = refuse_or_make
        return cls

    return decorate
