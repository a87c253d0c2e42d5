"""How a configuration class answers a call that it does not understand."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from backbonekit.errors import RecipeError, nearest

Config = TypeVar("Config", bound=type)


def told_by_name(*, positional: int = 0) -> Callable[[Config], Config]:
    """Class decorator of a dataclass: a misspelt field is a RecipeError (a ValueError) with the nearest name, all of
    them together, and so are more values without a name than `positional`."""

    def decorate(cls: Config) -> Config:
        from_fields = cls.__init__
        known = [name for name in signature(from_fields).parameters if name != "self"]

        @wraps(from_fields)
        def refuse_or_make(self: Any, *values: Any, **named: Any) -> None:
            faults = [
                f"{type(self).__name__} has no field {name!r}; {nearest(name, known)}"
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

        cls.__init__ = refuse_or_make
        return cls

    return decorate
