"""The four errors that reach a user, the bounds of their messages, and the nearest-name helper that they share."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MAX_MESSAGE = 4_000  # characters; a page of a terminal
_SHOWN_FAULTS = 20
_CUT = " [...] "
# A longer name is no slip of the fingers. The longest name of timm and transformers has 69 characters.
_LONGEST_NAME = 200
_MAX_WORD_MATCHES = 5  # more names with the same words are a list, no suggestion
_MOST_CANDIDATES = 5_000  # names that one search compares; 1,400 architectures of timm take 3 ms


class RecipeError(ValueError):
    """A recipe that cannot be built. Holds every fault found, not only the first.

    `faults`: one message each: what, given, allowed, the fix. The error's own text shows the first twenty.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__(_listing(self.faults))


class ContractError(ValueError):
    """Two parts that do not fit: the message names producer, consumer, what is missing and the fix."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message))


class WeightsError(Exception):
    """Weights that do not fill the model: missing, surplus, of another shape, or not readable."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message))


class StorageError(OSError):
    """A folder, file or Hub repository that could not be read or written."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message))


def bounded(message: str, limit: int = MAX_MESSAGE) -> str:
    """The message in at most `limit` characters, with the characters that a terminal would obey written out.

    What is too long loses its middle: the beginning says what is wrong, and the end how to mend it.
    """
    message = _shortened(message, limit)
    if message.isprintable():
        return message
    shown = (one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in message)
    return _shortened("".join(shown), limit)


def _shortened(message: str, limit: int) -> str:
    if len(message) <= limit:
        return message
    end = limit // 3
    return f"{message[: limit - end - len(_CUT)]}{_CUT}{message[-end:]}"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of a message that helps with a misspelt name: `did you mean 'x'?`, or the list of what is allowed.

    Names that consist of the same words come before names that share most letters.
    """
    name, names = str(name), sorted(str(candidate) for candidate in allowed)
    match: Sequence[str] = ()
    if len(name) <= _LONGEST_NAME and len(names) <= _MOST_CANDIDATES:
        match = _with_the_words_of(name, names) or get_close_matches(name, names, n=1, cutoff=0.6)
    if match:
        *others, last = [repr(candidate) for candidate in match]
        return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"
    if not names:
        return "nothing is allowed here."
    shown = ", ".join(names[:20])
    return f"allowed: {shown}." if len(names) <= 20 else f"allowed: {shown}, ... ({len(names)} in all)."


class NearestNames:
    """`nearest` among the same names for one misspelt name after the other. It searches for the first twenty, which
    are those that an error shows."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = sorted(str(candidate) for candidate in allowed)
        self._left = _SHOWN_FAULTS

    def __call__(self, name: object) -> str:
        self._left -= 1
        return nearest(str(name), self._allowed) if self._left >= 0 else "see the names allowed above."


def _listing(faults: tuple[str, ...]) -> str:
    if len(faults) == 1:
        return bounded(faults[0])
    shown = faults[:_SHOWN_FAULTS]
    more = [f"  ... and {len(faults) - len(shown):,} more."] if len(faults) > len(shown) else []
    beside = len("  20. \n")  # characters of each line beside the fault itself
    room = MAX_MESSAGE - 100  # without the first and the last line
    is_long = sum(len(fault) + beside for fault in shown) > room
    lines = [bounded(fault, room // len(shown) - beside if is_long else room) for fault in shown]
    return "\n".join(
        [f"{len(faults):,} faults:", *(f"  {number}. {line}" for number, line in enumerate(lines, 1)), *more]
    )


def _with_the_words_of(name: str, names: Sequence[str]) -> list[str]:
    """The names that hold every word of `name` (rtdetr_resnet50: rtdetr_v2_resnet50), or start with them written as
    one (mask_former: maskformer_resnet50); none where these are too many to choose from."""
    words = _words(name)
    together = "".join(words)
    if len(together) < 4:  # a few letters are in too many names by chance
        return []
    for found in (
        [candidate for candidate in names if "".join(_words(candidate)) == together],
        [candidate for candidate in names if set(words) <= set(_words(candidate))],
        [candidate for candidate in names if len(words) > 1 and "".join(_words(candidate)).startswith(together)],
    ):
        if found:
            return found if len(found) <= _MAX_WORD_MATCHES else []
    return []


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())
