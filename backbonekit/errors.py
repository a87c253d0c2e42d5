"""The four errors that reach a user, and the nearest-name helper that their messages share."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class RecipeError(ValueError):
    """A recipe that cannot be built. Holds every fault found, not only the first.

    `faults`: one message each: what, given, allowed, the fix.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__(_listing(self.faults))


class ContractError(ValueError):
    """Two parts that do not fit: the message names producer, consumer, what is missing and the fix."""


class WeightsError(Exception):
    """Weights that do not fill the model: missing, surplus, of another shape, or not readable."""


class StorageError(OSError):
    """A folder, file or Hub repository that could not be read or written."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of a message that helps with a misspelt name: `did you mean 'x'?`, or the list of what is allowed."""
    names = sorted(str(candidate) for candidate in allowed)
    match = get_close_matches(str(name), names, n=1, cutoff=0.6)
    if match:
        return f"did you mean {match[0]!r}?"
    if not names:
        return "nothing is allowed here."
    shown = ", ".join(names[:20])
    return f"allowed: {shown}." if len(names) <= 20 else f"allowed: {shown}, ... ({len(names)} in all)."


def _listing(faults: tuple[str, ...]) -> str:
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults:\n" + "\n".join(f"  {number}. {fault}" for number, fault in enumerate(faults, 1))
