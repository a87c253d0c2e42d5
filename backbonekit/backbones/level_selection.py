"""What every backbone module does about its levels: it tells them, and lets some of the built ones be chosen."""

from collections.abc import Sequence

from torch import nn

from backbonekit.backbones.selection import select_built
from backbonekit.contract.features import FeaturePyramid, Level


class LevelSelection(nn.Module):
    """`levels`: every level of the architecture, built or not. `forbidden`: those that exist by name only. `name`: the
    architecture's; `builder`: the start of the call that builds it, for sentences."""

    def __init__(
        self,
        *,
        name: str,
        builder: str,
        levels: Sequence[Level],
        out_indices: tuple[int, ...],
        forbidden: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.name = name
        self.builder = builder
        self.levels = tuple(levels)
        self.forbidden = forbidden
        self.built = out_indices[-1] + 1
        self._out_indices = out_indices

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    @property
    def features(self) -> FeaturePyramid:
        return FeaturePyramid(tuple(self.levels[index] for index in self._out_indices))

    @property
    def out_indices(self) -> tuple[int, ...]:
        """The maps that `forward` gives. Setting it selects among the built ones, or raises and changes nothing."""
        return self._out_indices

    @out_indices.setter
    def out_indices(self, value: int | Sequence[int]) -> None:
        self._out_indices = self._selected(value)
        self._selection_changed()

    def _selected(self, value: int | Sequence[int]) -> tuple[int, ...]:
        return select_built(
            value,
            self.levels,
            built=self.built,
            forbidden=self.forbidden,
            name=self.name,
            builder=self.builder,
        )

    def _selection_changed(self) -> None:
        """Called after another choice of levels."""
