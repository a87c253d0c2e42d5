"""The rules of a key map: how foreign tensors become ours, and back.

Each is data with two functions, so that a table of them reads both ways. A rule has one or more foreign names and one
or more of ours, as templates (`NameTemplate`) with the same numbers on both sides.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbonekit.weights.name_template import NameTemplate

Shape = tuple[int, ...]


class Rule:
    """`to_ours` takes the foreign tensors in order and gives ours; `to_foreign` the other way round."""

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
        places = self.foreign[0].places
        assert all(template.places == places for template in (*self.foreign, *self.ours)), (
            f"the templates of one rule must have the same places: {foreign} -> {ours}"
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
