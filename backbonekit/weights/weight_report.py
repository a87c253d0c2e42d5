"""Where every parameter of a model came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import nn

from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.snapshot import Snapshot

RANDOM = "random"  # how the origin of a part begins that no checkpoint fills
TRAINED = ", then trained"  # after the origin of a part whose values are no longer those that it started from


@dataclass(slots=True)
class WeightSource:
    """One part's weights.

    `origin`: "random, seed 0", or a repository with its commit, or a file. `loaded` of `parameters` numbers came from
    there. `adapted`: names and how they were made to fit. `fresh`: names that the checkpoint lacks and that start at
    random. `unused`: how many of the checkpoint's tensors no part uses. `licence`: as its repository states it. `base`:
    the checkpoint that the values came from in the first place, however often they were saved since.
    """

    part: str
    origin: str
    parameters: int
    loaded: int = 0
    adapted: list[tuple[str, str]] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: int = 0
    licence: str | None = None
    base: BaseWeights | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for scripts, without `base`."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "base"}

    @property
    def is_trained(self) -> bool:
        """Whether training has changed it since it was drawn or loaded."""
        return self.origin.endswith(TRAINED)


@dataclass(slots=True)
class WeightReport:
    """All parts' sources, and what wiring and composing decided on the way."""

    sources: list[WeightSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def pretrained_share(self) -> float:
        """The share of all parameters that came from a checkpoint, in [0, 1]."""
        total = sum(source.parameters for source in self.sources)
        return sum(source.loaded for source in self.sources) / total if total else 0.0

    @property
    def warning(self) -> str | None:
        """A few words for a drawing whose predictions mean nothing, since weights are as they were drawn at random;
        None where all came from a checkpoint or from training."""
        total = sum(source.parameters for source in self.sources)
        drawn = sum(source.parameters - source.loaded for source in self.sources if not source.is_trained)
        if not drawn:
            return None
        return "random weights" if drawn == total else f"{drawn / total:.1%} random weights"

    @property
    def random(self) -> dict[str, str]:
        """What is still as it was drawn: patterns of names (`head.*` for a whole part) with the origin."""
        found: dict[str, str] = {}
        for source in self.sources:
            if source.origin.startswith(RANDOM) and not source.is_trained:
                found[f"{source.part}.*"] = source.origin
            else:
                found |= {f"{source.part}.{name}": RANDOM for name in source.fresh}
        return found

    @property
    def bases(self) -> dict[str, BaseWeights]:
        """By part, the checkpoint that its weights started from; none of parts that started at random."""
        return {source.part: source.base for source in self.sources if source.base is not None and source.loaded}

    @property
    def is_random(self) -> bool:
        """Whether no parameter comes from a checkpoint or from training."""
        return all(source.loaded == 0 and not source.is_trained for source in self.sources)

    def since(self, start: Snapshot, module: nn.Module) -> "WeightReport":
        """The report of a module now, of which this one was the report at the `start`: parts that training has changed
        say so, and nothing in them counts as random."""
        return WeightReport([_since(source, start, module) for source in self.sources], self.notes)


def _since(source: WeightSource, start: Snapshot, module: nn.Module) -> WeightSource:
    names = [name for name in start.probes if name.startswith(f"{source.part}.")]
    if source.is_trained or len(start.unchanged(names, module)) == len(names):
        return source
    base = None if source.base is None else source.base.trained()
    return replace(source, origin=source.origin + TRAINED, fresh=[], base=base)


def with_saved_random(source: WeightSource, random: Mapping[str, str], path: str, module: nn.Module) -> WeightSource:
    """The source of a part that was filled from a saved model, in which what `random` names had never been trained.

    `path`: where the part stood in that model."""
    whole = random.get(f"{path}.*")
    if whole is not None:
        return replace(source, origin=whole, loaded=0)
    fresh = [name for name in dict(module.named_parameters()) if f"{path}.{name}" in random]
    numbers = sum(parameter.numel() for name, parameter in module.named_parameters() if name in fresh)
    return replace(source, loaded=max(source.loaded - numbers, 0), fresh=list(dict.fromkeys([*source.fresh, *fresh])))
