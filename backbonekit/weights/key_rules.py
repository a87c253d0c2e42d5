"""The rules of a key map: tensors of another library ("foreign") become ours, and back.

Each is data with two functions, so that a table of them reads both ways. A rule has one or more foreign names and one
or more of ours, as templates (`NameTemplate`) with the same numbers on both sides.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

_PLACEHOLDER = re.compile(r"\{([a-z]\w*)([+-]\d+)?\}")


class NameTemplate:
    """A name, or the start of one up to a dot, with whole numbers in braces.

    `{i}` stands for a number, `{i+1}` for that number written one higher. What follows the template in a name (always
    after a dot) is its rest: `stages.{i}.norm` matches `stages.3.norm.weight` with i = 3 and the rest `.weight`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._offsets: dict[str, int] = {}
        pattern, end = "", 0
        for placeholder in _PLACEHOLDER.finditer(text):
            name, offset = placeholder.group(1), int(placeholder.group(2) or 0)
            pattern += re.escape(text[end : placeholder.start()])
            if name in self._offsets:
                assert offset == self._offsets[name], f"{text!r} writes {name!r} with two offsets"
                pattern += f"(?P={name})"
            else:
                self._offsets[name] = offset
                pattern += rf"(?P<{name}>0|[1-9]\d*)"
            end = placeholder.end()
        pattern += re.escape(text[end:])
        rest = r"(?P<REST>\..+)?" if text else r"(?P<REST>.+)"
        self._pattern = re.compile(pattern + rest, re.DOTALL)

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(self._offsets)

    def match(self, name: str) -> tuple[dict[str, int], str] | None:
        """The numbers and the rest, or None. A number that its offset would make negative does not match."""
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        numbers = {placeholder: int(found.group(placeholder)) - offset for placeholder, offset in self._offsets.items()}
        if any(number < 0 for number in numbers.values()):
            return None
        return numbers, found.group("REST") or ""

    def write(self, numbers: Mapping[str, int], rest: str) -> str:
        """The name with these numbers and this rest: the inverse of `match`."""
        text = _PLACEHOLDER.sub(
            lambda placeholder: str(numbers[placeholder.group(1)] + int(placeholder.group(2) or 0)), self.text
        )
        return text + rest if text else rest.removeprefix(".")


Shape = tuple[int, ...]


class Rule:
    """`to_ours` takes the foreign tensors in order and returns ours; `to_foreign` the other way round."""

    def __init__(
        self,
        foreign: Sequence[str],
        ours: Sequence[str],
        to_ours: Callable[[Sequence[Tensor]], Sequence[Tensor]],
        to_foreign: Callable[[Sequence[Tensor]], Sequence[Tensor]],
        *,
        is_plain: bool = False,
        is_stacked: bool = False,
    ) -> None:
        self.foreign = tuple(NameTemplate(text) for text in foreign)
        self.ours = tuple(NameTemplate(text) for text in ours)
        self.to_ours = to_ours
        self.to_foreign = to_foreign
        # A plain rule changes the name alone, so shapes are known without running it.
        self.is_plain = is_plain
        # Of a stacked rule ours has the foreign numbers one tensor after another, so that they can be read in place.
        self.is_stacked = is_stacked
        placeholders = self.foreign[0].placeholders
        assert all(template.placeholders == placeholders for template in (*self.foreign, *self.ours)), (
            f"the templates of one rule must have the same numbers: {foreign} -> {ours}"
        )


def Rename(foreign: str, ours: str) -> Rule:
    """The same tensor under another name."""
    return Rule([foreign], [ours], list, list, is_plain=True)


def Join(foreign: Sequence[str], ours: str, *, dim: int = 0) -> Rule:
    """Several foreign tensors of one shape are ours concatenated along `dim`: query, key and value as one matrix."""
    count = len(foreign)
    return Rule(
        foreign,
        [ours],
        lambda parts: [torch.cat(list(parts), dim)],
        lambda whole: [part.contiguous() for part in whole[0].tensor_split(count, dim)],
        is_stacked=dim == 0,
    )


def Split(foreign: str, ours: Sequence[str], *, dim: int = 0) -> Rule:
    """One foreign tensor is several of ours of one shape, cut along `dim`: the inverse of `Join`."""
    count = len(ours)
    return Rule(
        [foreign],
        ours,
        lambda whole: [part.contiguous() for part in whole[0].tensor_split(count, dim)],
        lambda parts: [torch.cat(list(parts), dim)],
    )


def Reshape(
    foreign: str, ours: str, *, ours_shape: Callable[[Shape], Shape], foreign_shape: Callable[[Shape], Shape]
) -> Rule:
    """The same numbers in another shape. `ours_shape` maps the foreign shape to ours, `foreign_shape` ours to it."""
    return Convert(
        foreign,
        ours,
        to_ours=lambda tensor: tensor.reshape(ours_shape(tuple(tensor.shape))),
        to_foreign=lambda tensor: tensor.reshape(foreign_shape(tuple(tensor.shape))),
    )


def Convert(
    foreign: str, ours: str, *, to_ours: Callable[[Tensor], Tensor], to_foreign: Callable[[Tensor], Tensor]
) -> Rule:
    """Any other change that can be undone. Both functions must work on the meta device too, where only shapes exist."""
    return Rule([foreign], [ours], lambda one: [to_ours(one[0])], lambda one: [to_foreign(one[0])])
