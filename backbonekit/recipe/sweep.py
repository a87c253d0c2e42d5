"""Sweeps: `backbone=resnet50,swin_tiny head.num_queries=range(50,200,50)` as a list of overrides per combination."""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import prod
from pathlib import Path

from hydra.core.override_parser.types import Glob, IntervalSweep, Override

from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.compose import model_names, part_names
from backbonekit.recipe.config_roots import GROUP
from backbonekit.recipe.overrides import parse_override

MAX_JOBS = 1_000
_KINDS = ("backbone", "neck", "head")


def expand_sweep(overrides: Sequence[str], *, config_dir: str | Path | None = None) -> list[list[str]]:
    """Every combination, the last override varying fastest; each job has the overrides in the order given.

    A choice is `a,b` or `choice(a,b)`, numbers are `range(start,stop,step)`, names that exist are `glob(swin*)`. Raises
    RecipeError with all faults; so does a sweep of more than MAX_JOBS jobs.
    """
    faults: list[str] = []
    choices: list[list[str]] = []
    for text in overrides:
        try:
            choices.append(_choices(text, config_dir))
        except RecipeError as error:
            faults.extend(error.faults)
    if not faults and prod(map(len, choices)) > MAX_JOBS:
        counts = " x ".join(str(len(values)) for values in choices if len(values) > 1)
        faults.append(f"the sweep has {counts} combinations; {MAX_JOBS:,} is the limit.")
    if faults:
        raise RecipeError(faults)
    return [list(job) for job in product(*choices)]


def _choices(text: str, config_dir: str | Path | None) -> list[str]:
    override = parse_override(text)
    if not override.is_sweep_override():
        return [text]
    key = override.get_key_element()
    if isinstance(override.value(), IntervalSweep):
        raise RecipeError(f"{shown(text)} is an interval, which has no end of values; use range(start,stop,step).")
    values = list(islice(_values(text, override, config_dir), MAX_JOBS + 1))
    if not values:
        raise RecipeError(f"{shown(text)} has no value at all.")
    if len(values) > MAX_JOBS:
        raise RecipeError(f"{shown(text)} has more than {MAX_JOBS:,} values, the limit of a sweep.")
    return [f"{key}={value}" for value in values]


def _values(text: str, override: Override, config_dir: str | Path | None) -> Iterator[str]:
    value = override.value()
    if not isinstance(value, Glob):
        try:
            yield from override.sweep_string_iterator()
        except ValueError as error:  # a range with a step of zero
            raise RecipeError(f"{shown(text)} has no values: {error}.") from error
        return
    kind = override.key_or_group.replace("/", ".").removeprefix(f"{GROUP}.")
    if kind != GROUP and kind not in _KINDS:
        raise RecipeError(f"{shown(text)}: glob() matches names of models, backbones, necks and heads only.")
    known = model_names(config_dir) if kind == GROUP else part_names(kind, config_dir)
    found = value.filter(known)
    if not found:
        raise RecipeError(f"{shown(text)} matches nothing; {nearest(value.include[0], known)}")
    yield from found
