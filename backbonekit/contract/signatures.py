"""What the signature of a part declares: its options, their defaults, and the kind of its prediction."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_type_hints


@cache
def option_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The keyword-only names of a constructor or of `needs`."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Every keyword-only option that has a default, with it."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameters[name].default
        for name in option_names(function)
        if parameters[name].default is not inspect.Parameter.empty
    }


def pick(options: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """Those of `options` that `function` names."""
    names = option_names(function)
    return {name: value for name, value in options.items() if name in names}


def prediction_of(head: type) -> Any:
    """The kind of prediction that a head class returns, from the return annotation of its forward."""
    return get_type_hints(head.forward).get("return")  # type: ignore[attr-defined]
