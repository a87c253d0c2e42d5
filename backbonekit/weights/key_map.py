"""Reversible tables of weight names: checkpoints of other libraries are read under our names, and written back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache

import torch
from torch import Tensor

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.key_rules import Convert, Join, Rename, Reshape, Rule, Split
from backbonekit.weights.stored_tensors import StoredTensor, stand_in

__all__ = ["Convert", "Join", "KeyMap", "Rename", "Reshape", "Rule", "Split", "combine"]


@dataclass(frozen=True)
class _Section:
    """A table that holds for the names under two prefixes ("" for all)."""

    foreign: str
    ours: str
    rules: tuple[Rule, ...]
    drop: tuple[str, ...]
    prefixes: tuple[str, ...]
    keeps: Callable[[str], bool] | None = None
    absent: tuple[str, ...] = ()


class KeyMap:
    """An ordered table of rules; of several that fit a name, the first counts.

    `rules`: `Rename`, `Join`, `Split`, `Reshape`, `Convert`. Several rules may have one target, for several spellings
    of the foreign name; the first is the one written back. `drop`: fnmatch patterns of foreign names left unread.
    `prefixes`: removed from the start of a foreign name where present (`"resnet."`), before rules and drops see it; not
    written back.

    Law: `translate` of what `reverse` wrote returns the same tensors.
    """

    def __init__(self, rules: Sequence[Rule], *, drop: Sequence[str] = (), prefixes: Sequence[str] = ()) -> None:
        stripped = tuple(prefix.rstrip(".") + "." for prefix in prefixes)
        self._sections: tuple[_Section, ...] = (_Section("", "", tuple(rules), tuple(drop), stripped),)

    def under(self, foreign_prefix: str, ours_prefix: str) -> "KeyMap":
        """The same table for a module inside a larger one: both prefixes stand before its names, without final dots."""
        return _of_sections(
            _Section(
                _joined(foreign_prefix, section.foreign),
                _joined(ours_prefix, section.ours),
                section.rules,
                section.drop,
                section.prefixes,
                section.keeps,
                section.absent,
            )
            for section in self._sections
        )

    def keeping(self, keeps: Callable[[str], bool]) -> "KeyMap":
        """The same table for a module of which only a part is built: a tensor whose name of ours, without the prefixes
        of `under`, is not kept is left unread."""
        return _of_sections(replace(section, keeps=keeps) for section in self._sections)

    def standing_in(self, absent: Sequence[str]) -> "KeyMap":
        """The same table for checkpoints that may lack `absent`, names of ours without the prefixes of `under`: an
        empty tensor stands in for each, of which a blueprint's `adapt` makes what the module starts with."""
        return _of_sections(replace(section, absent=(*section.absent, *absent)) for section in self._sections)

    def translate(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint under our names, still unread.

        A name that no rule and no drop pattern matches is kept, so that filling reports it. A rule of which only
        some foreign tensors are there leaves them as they are. Raises WeightsError where two tensors become one name.
        """
        found: dict[str, StoredTensor] = {}
        groups: dict[tuple[Rule, tuple[str, ...]], dict[int, str]] = {}
        for key, entry in checkpoint.tensors.items():
            match = self._match_foreign(key)
            if match is None:
                _put(found, key, entry, checkpoint.origin)
            elif not isinstance(match, str):
                rule, position, ours = match
                members = groups.setdefault((rule, ours), {})
                if position in members:
                    raise WeightsError(
                        f"{checkpoint.origin} holds {members[position]!r} and {key!r}, which are one tensor:"
                        f" {ours[0]!r}."
                    )
                members[position] = key
        plans: _Plans = {}
        for (rule, ours), members in groups.items():
            if len(members) < len(rule.foreign):
                for key in members.values():
                    _put(found, key, checkpoint.tensors[key], checkpoint.origin)
                continue
            entries = [checkpoint.tensors[members[position]] for position in range(len(rule.foreign))]
            names = tuple(members[position] for position in range(len(rule.foreign)))
            for name, entry in zip(ours, _translated(rule, entries, names, checkpoint.origin, plans), strict=True):
                _put(found, name, entry, checkpoint.origin)
        for section in self._sections:
            for name in section.absent:
                found.setdefault(_joined(section.ours, name), stand_in())
        return checkpoint.replaced(found)

    def reverse(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under their foreign names. Raises WeightsError that lists every name no rule can write."""
        found: dict[str, Tensor] = {}
        groups: dict[tuple[Rule, tuple[str, ...]], dict[int, str]] = {}
        unknown: list[str] = []
        for key in state_dict:
            match = self._match_ours(key)
            if match is None:
                unknown.append(key)
            else:
                rule, position, foreign = match
                groups.setdefault((rule, foreign), {})[position] = key
        for (rule, foreign), members in groups.items():
            if len(members) < len(rule.ours):
                unknown.extend(members.values())
                continue
            tensors = rule.to_foreign([state_dict[members[position]] for position in range(len(rule.ours))])
            found.update(zip(foreign, tensors, strict=True))
        if unknown:
            shown = ", ".join(unknown[:10])
            raise WeightsError(
                f"{len(unknown)} tensors have no foreign name: {shown}{', ...' if len(unknown) > 10 else ''}."
            )
        return found

    def _match_foreign(self, key: str) -> "tuple[Rule, int, tuple[str, ...]] | str | None":
        is_dropped = False
        for section in self._sections:
            inner = _without(key, section.foreign)
            if inner is None:
                continue
            for prefix in section.prefixes:
                inner = inner.removeprefix(prefix)
            for rule in section.rules:
                for position, template in enumerate(rule.foreign):
                    match = template.match(inner)
                    if match is not None:
                        if section.keeps and not any(section.keeps(target.write(*match)) for target in rule.ours):
                            return "dropped"
                        ours = tuple(_joined(section.ours, target.write(*match)) for target in rule.ours)
                        return rule, position, ours
            is_dropped = is_dropped or any(fnmatchcase(inner, pattern) for pattern in section.drop)
        return "dropped" if is_dropped else None

    def _match_ours(self, key: str) -> tuple[Rule, int, tuple[str, ...]] | None:
        for section in self._sections:
            inner = _without(key, section.ours)
            if inner is None:
                continue
            for rule in section.rules:
                for position, template in enumerate(rule.ours):
                    match = template.match(inner)
                    if match is not None:
                        return (
                            rule,
                            position,
                            tuple(_joined(section.foreign, name.write(*match)) for name in rule.foreign),
                        )
        return None


def combine(*maps: KeyMap) -> KeyMap:
    """Several tables as one, in order: those of a model's parts, each moved with `under`."""
    return _of_sections(section for one in maps for section in one._sections)


def _of_sections(sections: Iterable[_Section]) -> KeyMap:
    combined = KeyMap(())
    combined._sections = tuple(sections)
    return combined


# What a rule makes of tensors of these shapes and types, without values: the same for every layer of a network.
_Plans = dict[tuple[Rule, tuple[tuple[tuple[int, ...], torch.dtype], ...]], Sequence[Tensor]]


def _translated(
    rule: Rule, entries: Sequence[StoredTensor], names: tuple[str, ...], origin: str, plans: _Plans
) -> Sequence[StoredTensor]:
    stored_as = tuple(dict.fromkeys(name for entry in entries for name in entry.stored_as)) or names
    if rule.is_plain:
        (entry,) = entries
        return [replace(entry, stored_as=stored_as)]

    described = (rule, tuple((entry.shape, entry.dtype) for entry in entries))
    try:
        # Shapes and types come from a run without memory, so that a mismatch is an error before anything is read.
        if described not in plans:
            plans[described] = rule.to_ours(
                [torch.empty(entry.shape, dtype=entry.dtype, device="meta") for entry in entries]
            )
        planned = plans[described]
    except RuntimeError as error:
        shapes = ", ".join(f"{name} {list(entry.shape)}" for name, entry in zip(names, entries, strict=True))
        raise WeightsError(f"{origin}: these tensors do not go together: {shapes}.") from error

    @lru_cache(maxsize=1)
    def whole() -> Sequence[Tensor]:
        return rule.to_ours([entry.load() for entry in entries])

    if rule.is_stacked:
        loads = [lambda: _stacked(entries, planned[0])]
    elif len(planned) == 1:
        # Not cached: a joined tensor is only kept in the model.
        loads = [lambda: rule.to_ours([entry.load() for entry in entries])[0]]
    else:
        loads = [lambda position=position: whole()[position] for position in range(len(planned))]
    return [
        StoredTensor(tuple(plan.shape), plan.dtype, load, stored_as) for plan, load in zip(planned, loads, strict=True)
    ]


def _stacked(entries: Sequence[StoredTensor], plan: Tensor) -> Tensor:
    """Read straight into the joined tensor: no part is ever in memory twice."""
    joined = torch.empty(plan.shape, dtype=plan.dtype)
    for entry, part in zip(entries, joined.split([entry.shape[0] for entry in entries]), strict=True):
        entry.copy_to(part)
    return joined


def _put(found: dict[str, StoredTensor], name: str, entry: StoredTensor, origin: str) -> None:
    if name in found:
        both = " and ".join(repr(one) for one in (*found[name].stored_as, *entry.stored_as))
        raise WeightsError(f"{origin} holds {both}, which are one tensor: {name!r}.")
    found[name] = entry


def _without(key: str, prefix: str) -> str | None:
    if not prefix:
        return key
    return key[len(prefix) + 1 :] if key.startswith(prefix + ".") else None


def _joined(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('.')}.{name}" if prefix and name else prefix.rstrip(".") or name
