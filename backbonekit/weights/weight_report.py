"""Where every parameter of a model came from."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class WeightSource:
    """One part's weights.

    `origin`: "random, seed 0", or a repository with its commit, or a file. `loaded` of `parameters` numbers came from
    there. `adapted`: names and how they were made to fit. `fresh`: names that the checkpoint lacks and that start at
    random. `unused`: how many of the checkpoint's tensors no part uses. `licence`: as its repository states it.
    """

    part: str
    origin: str
    parameters: int
    loaded: int = 0
    adapted: list[tuple[str, str]] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: int = 0
    licence: str | None = None


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
