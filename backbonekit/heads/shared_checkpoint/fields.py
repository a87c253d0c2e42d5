"""Reads the fields of a foreign configuration, so that none is lost silently."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.errors import nearest

_SHOWN = 60  # characters of a wrong value
_TOLD: ContextVar[dict[str, Any] | None] = ContextVar("told_fields", default=None)


@contextmanager
def told_fields() -> Iterator[dict[str, Any]]:
    """The fields of a file's outermost level that are read while it is open, and what each is where a file has none."""
    told: dict[str, Any] = {}
    token = _TOLD.set(told)
    try:
        yield told
    finally:
        _TOLD.reset(token)


class ForeignFields:
    """A mapping whose fields are read one by one; what is wrong is collected in `faults`.

    `path`: where it stands in the file, as sentences name it. `idle`: fields that the reference does not use either.
    """

    def __init__(self, config: Mapping[str, Any], path: str, *, idle: Collection[str] = ()) -> None:
        self.config = config
        self.path = path
        self.faults: list[str] = []
        self._idle = frozenset(idle) | GENERIC_FIELDS
        self._read: set[str] = set()

    def number(self, name: str, default: float, *, low: float = 0) -> Any:
        """A number, whole where the default is."""
        value = self._value(name, default)
        is_whole = isinstance(default, int)
        ok = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
        if not ok or not value >= low:
            kind = "a whole number" if is_whole else "a number"
            self._refuse(name, value, f"it must be {kind} of at least {low:g}")
            return default
        return value if is_whole else float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            self._refuse(name, value, "it must be true or false")
            return default
        return value

    def choice(self, name: str, default: str, choices: Mapping[str, str]) -> str:
        """One of the keys of `choices`, as what we call it."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in choices:
            self._refuse(name, value, f"supported are {', '.join(choices)}")
            return choices[default]
        return choices[value]

    def only(self, name: str, supported: Any, why: str) -> None:
        """A field that may be there with one value alone."""
        value = self._value(name, supported)
        if value != supported:
            self._refuse(name, value, why)

    def mapping(self, name: str, default: Mapping[str, Any]) -> Mapping[str, Any]:
        value = self._value(name, None)
        if value is not None and not isinstance(value, Mapping):
            self._refuse(name, value, "it must be a mapping")
        return value if isinstance(value, Mapping) else default

    def raw(self, name: str) -> Any:
        return self._value(name, None)

    def finish(self) -> list[str]:
        """All faults, those of fields that nobody read among them."""
        known = sorted(self._read)
        unread = [name for name in self.config if name not in self._read and name not in self._idle]
        return self.faults + [
            f"{self.path}{str(name)[:_SHOWN]} is no field that is supported; {nearest(str(name)[:_SHOWN], known)}"
            for name in unread
        ]

    def _value(self, name: str, default: Any) -> Any:
        self._read.add(name)
        told = _TOLD.get()
        if told is not None and not self.path:
            told.setdefault(name, default)
        value = self.config.get(name)
        return default if value is None else value

    def _refuse(self, name: str, value: Any, why: str) -> None:
        self.faults.append(f"{self.path}{name}={repr(value)[:_SHOWN]} is not supported: {why}.")
