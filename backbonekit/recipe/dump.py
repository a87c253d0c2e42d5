"""A recipe, or an experiment, as YAML: flat, complete, in one order, so that equal ones are written as equal bytes."""

from typing import Any

import yaml

from backbonekit.recipe.experiment import Experiment
from backbonekit.recipe.guard import add_plain_scalars
from backbonekit.recipe.recipe import Recipe

HEADER = "# A backbonekit recipe. try: python -m backbonekit.build recipe=<this file or its folder>\n"
EXPERIMENT_HEADER = "# A backbonekit experiment. try: python -m backbonekit train experiment=<this file>\n"
_WIDTH = 120


def dump_recipe(recipe: Recipe) -> str:
    """The YAML text. What it means to `recipe_from_mapping` is the same recipe."""
    return HEADER + _text(recipe.to_dict())


def dump_experiment(experiment: Experiment) -> str:
    """The YAML text. What it means to `experiment_from_mapping` is the same experiment."""
    return EXPERIMENT_HEADER + _text(experiment.to_dict())


def dump_value(value: Any, *, width: int = _WIDTH) -> str:
    """Any part of a recipe as YAML, as it stands in the whole."""
    text = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, width=width, allow_unicode=True)
    return text.removesuffix("...\n")  # the end of a single value


def _text(data: dict[str, Any]) -> str:
    return dump_value(data)


class _PlainDumper(yaml.SafeDumper):
    """SafeDumper that never writes an anchor, which the reader refuses, and writes lists of values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    is_nested = any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=not is_nested)


def _represent_dict(dumper: yaml.SafeDumper, mapping: dict[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", mapping, flow_style=not mapping)


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    # PyYAML writes 1e-05 without a point, which YAML 1.1 readers take for text.
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    text = text if "." in mantissa or not exponent else f"{mantissa}.0e{power}"
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


# Text that only one of YAML 1.1 and 1.2 takes for a number or a boolean is quoted for both.
add_plain_scalars(_PlainDumper)
_PlainDumper.add_representer(float, _represent_float)
_PlainDumper.add_representer(list, _represent_list)
_PlainDumper.add_representer(dict, _represent_dict)
