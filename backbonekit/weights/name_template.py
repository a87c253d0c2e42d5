"""Patterns of weight names with counted places, such as `encoder.stages.{i}.layers.{j}`."""

import re
from collections.abc import Mapping

_PLACE = re.compile(r"\{([a-z]\w*)([+-]\d+)?\}")


class NameTemplate:
    """A name, or the start of one up to a dot, with whole numbers in braces.

    `{i}` stands for a number, `{i+1}` for that number written one higher. What follows the template in a name (always
    after a dot) is its rest: `stages.{i}.norm` matches `stages.3.norm.weight` with i = 3 and the rest `.weight`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._offsets: dict[str, int] = {}
        pattern, end = "", 0
        for place in _PLACE.finditer(text):
            name, offset = place.group(1), int(place.group(2) or 0)
            pattern += re.escape(text[end : place.start()])
            if name in self._offsets:
                assert offset == self._offsets[name], f"{text!r} writes {name!r} with two offsets"
                pattern += f"(?P={name})"
            else:
                self._offsets[name] = offset
                pattern += rf"(?P<{name}>0|[1-9]\d*)"
            end = place.end()
        pattern += re.escape(text[end:])
        rest = r"(?P<REST>\..+)?" if text else r"(?P<REST>.+)"
        self._pattern = re.compile(pattern + rest, re.DOTALL)

    @property
    def places(self) -> frozenset[str]:
        return frozenset(self._offsets)

    def match(self, name: str) -> tuple[dict[str, int], str] | None:
        """The numbers and the rest, or None. A number that its offset would make negative does not match."""
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        numbers = {place: int(found.group(place)) - offset for place, offset in self._offsets.items()}
        if any(number < 0 for number in numbers.values()):
            return None
        return numbers, found.group("REST") or ""

    def write(self, numbers: Mapping[str, int], rest: str) -> str:
        """The name with these numbers and this rest: the inverse of `match`."""
        text = _PLACE.sub(lambda place: str(numbers[place.group(1)] + int(place.group(2) or 0)), self.text)
        return text + rest if text else rest.removeprefix(".")
