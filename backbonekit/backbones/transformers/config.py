"""A configuration of transformers from plain data: its own fields only, bounded, and never the caller's own object."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any

from backbonekit.contract.option_values import faults_of
from backbonekit.errors import NearestNames, RecipeError

# Set elsewhere in a recipe, or by the architecture itself.
SELECTION = frozenset({"out_indices", "out_features", "stage_names"})
# Bounds of every number in plain data: above the width, the image side and the depth of any vision backbone.
_SIZES = {"minimum": -65_536, "maximum": 65_536}
_DEPTHS = {"minimum": -1_024, "maximum": 1_024}


class TransformersConfig:
    """The fields of one configuration that were given, and fresh configuration objects made from them.

    `config_class`: a dataclass of transformers. `base`: the class that all of its configurations derive from, whose
    fields (labels, types, outputs) say nothing about an architecture.
    """

    def __init__(
        self, model_type: str, config_class: Any, base: Any, given: Mapping[str, Any], *, strict: bool
    ) -> None:
        """`strict`: whether an unknown field is refused; `config.json` files carry stale ones, recipes do not."""
        self.model_type = model_type
        self.config_class = config_class
        self.base = base
        shared = {field.name for field in fields(base)}
        self.own = tuple(
            field.name
            for field in fields(config_class)
            if field.name not in shared and not field.name.startswith("_") and field.name not in SELECTION
        )
        aliases = set(config_class.attribute_map)
        passed_over = shared | SELECTION | {"model_type"}
        if strict:
            nearest_field = NearestNames(self.own)
            faults = [
                f"backbone.config.{key}: {model_type} has no such field; {nearest_field(key)}"
                for key in given
                if key not in aliases and key not in self.own and key not in passed_over and not key.startswith("_")
            ]
            if faults:
                raise RecipeError(faults)
        own = {key: value for key, value in given.items() if key in self.own or key in aliases}
        self._check_values(own)
        self.given = deepcopy(own)

    def checked_args(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, which replace fields of the configuration. Raises RecipeError for what is not a field."""
        allowed = [key for key in self.own if key != "num_channels"]
        nearest_field = NearestNames(allowed)
        faults = [
            f"backbone.args.{key}: {self.model_type} has no such field; {nearest_field(key)}"
            for key in args
            if key not in allowed
        ]
        if faults:
            raise RecipeError(faults)
        return dict(args)

    def make(self, overlay: Mapping[str, Any] = {}, out_indices: Sequence[int] | None = None) -> Any:
        """A new configuration object. Raises RecipeError for values that transformers does not take."""
        self._check_values(overlay)
        values: dict[str, Any] = {**deepcopy(self.given), **deepcopy(dict(overlay))}
        if "reshape_hidden_states" in self.own:
            values["reshape_hidden_states"] = True  # maps are returned as maps
        chosen = {} if out_indices is None else {"out_indices": list(out_indices)}
        try:
            made = self.config_class(**values, **chosen)
            # Some defaults are tuples, which the library itself then fails to concatenate with lists.
            tuples = {key: list(vars(made)[key]) for key in self.own if isinstance(vars(made).get(key), tuple)}
            return self.config_class(**{**values, **tuples}, **chosen) if tuples else made
        except Exception as error:  # its validation raises errors of many classes
            raise RecipeError(
                f"transformers takes no such {self.model_type} configuration: {first_line(error)}"
            ) from error

    def _check_values(self, values: Mapping[str, Any]) -> None:
        faults = [fault for key, value in values.items() for fault in _faults_of_field(self.model_type, key, value)]
        if faults:
            raise RecipeError(faults)

    def to_mapping(self) -> dict[str, Any]:
        """Plain data that rebuilds the same configuration: the given values that differ from the defaults."""
        values = _plain(self.make())
        defaults = _plain(TransformersConfig(self.model_type, self.config_class, self.base, {}, strict=True).make())
        kept = {key: values[key] for key in self.own if key in values and values[key] != defaults.get(key)}
        return {"model_type": self.model_type, **kept}

    def differences(self, other: "TransformersConfig") -> list[str]:
        """`field: ours, theirs`, for each field that differs."""
        ours, theirs = _plain(self.make()), _plain(other.make())
        return [
            f"{key}: {ours.get(key)!r}, {theirs.get(key)!r}"
            for key in self.own
            if key != "reshape_hidden_states" and ours.get(key) != theirs.get(key)
        ]


def first_line(error: BaseException) -> str:
    """The first lines of another library's error, with its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(config.to_json_string(use_diff=False))


def _faults_of_field(path: str, name: str, value: Any) -> list[str]:
    """The faults of a field's plain data. Its numbers are sizes or, in fields named so, numbers of layers."""
    is_depth = name == "depths" or name.endswith(("num_hidden_layers", "num_layers"))
    faults = faults_of(f"{path}.{name}", value, _DEPTHS if is_depth else _SIZES)
    if faults or not isinstance(value, Mapping):
        return faults
    return [fault for key, item in value.items() for fault in _faults_of_field(f"{path}.{name}", key, item)]
