"""How a recipe came to its values: every file and override that was laid, in order, with the recipe after each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backbonekit.recipe.recipe import plain_data

By = Literal["default", "file", "recipe", "override", "reference", "inference"]


@dataclass(frozen=True, slots=True)
class PartFile:
    """The file that a part's name was read from, and what it says; `kind`: backbone, neck, head or criterion."""

    kind: str
    file: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One layer. `said`: its content, at its position in the recipe. `after`: the recipe with it. `files`: those of the
    parts that it names. `edits`: of overrides, the text and the path of each."""

    by: By
    source: str
    said: Mapping[str, Any]
    after: Mapping[str, Any]
    files: tuple[PartFile, ...] = ()
    edits: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Trace:
    """The steps of one composition, which composing fills and never reads. `origin`: of a recipe that is no name."""

    def __init__(self, origin: str = "the recipe") -> None:
        self.origin = origin
        self.steps: list[Step] = []
        self._files: list[PartFile] = []

    def read(self, kind: str, file: str, content: Mapping[str, Any]) -> None:
        """A part's file was read for the step that is laid next."""
        self._files.append(PartFile(kind, file, plain_data(content)))

    def laid(
        self,
        by: By,
        source: str,
        said: Mapping[str, Any],
        after: Mapping[str, Any],
        *,
        edits: Sequence[tuple[str, tuple[str, ...]]] = (),
    ) -> None:
        """A layer was laid, which made the recipe `after`."""
        self.steps.append(Step(by, source, plain_data(said), plain_data(after), tuple(self._files), tuple(edits)))
        self._files.clear()
