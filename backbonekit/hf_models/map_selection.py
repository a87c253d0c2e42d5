"""Which maps of a backbone are returned: two spellings, by position and by name, that follow each other."""

from collections.abc import Iterable, Sequence

from backbonekit.contract.indices import indices_of_features, normalise_indices
from backbonekit.errors import ContractError

Names = Sequence[str] | None
Positions = int | Sequence[int] | None


def agreed_indices(
    out_features: Names, out_indices: Positions, stage_names: Sequence[str], forbidden: frozenset[int] = frozenset()
) -> tuple[int, ...] | None:
    """Sorted positions in `stage_names`, or None where neither is given.

    Raises ContractError (a ValueError) that lists the stages for what is no stage, unsorted or repeated, and where the
    two name different stages.
    """
    if out_features is not None and (isinstance(out_features, str) or not isinstance(out_features, Iterable)):
        raise ContractError(
            f"out_features {str(out_features)[:60]!r} must be a list of names; the stages are {', '.join(stage_names)}."
        )
    by_name = None if out_features is None else indices_of_features(list(out_features), stage_names)
    by_number = None if out_indices is None else normalise_indices(_plain(out_indices), stage_names)
    if by_name is not None and by_number is not None and by_name != by_number:
        raise ContractError(
            f"out_features {list(out_features or ())} are the stages {list(by_name)}, but out_indices say"
            f" {list(by_number)}; give one of the two. The stages are {', '.join(stage_names)}."
        )
    chosen = by_number if by_number is not None else by_name
    absent = [index for index in chosen or () if index in forbidden]
    if absent:
        raise ContractError(f"This backbone returns no map of {stage_names[absent[0]]!r}; leave it out.")
    return chosen


def _plain(out_indices: int | Sequence[int]) -> int | Sequence[int]:
    # Hydra's lists are sequences of their own kind.
    return out_indices if isinstance(out_indices, int | str) else list(out_indices)


class MapSelection:
    """Mixin of a configuration. `stage_names`: every stage; `absent_maps`: positions without a map; `given_features`,
    `given_indices`: the selection as it was given; `names_are_known`: False where the architecture is read later, when
    the backbone is built."""

    stage_names: list[str]
    absent_maps: frozenset[int] = frozenset()
    given_features: Names = None
    given_indices: Positions = None

    @property
    def names_are_known(self) -> bool:
        return True

    def set_output_features_output_indices(self, out_features: Names, out_indices: Positions) -> None:
        """Sets both spellings at once; None for both is the last stage. Raises ContractError where they disagree; the
        selection is then as before."""
        if self.names_are_known:
            agreed_indices(out_features, out_indices, self.stage_names, self.absent_maps)
        object.__setattr__(self, "given_features", None if out_features is None else list(out_features))
        object.__setattr__(self, "given_indices", None if out_indices is None else _plain(out_indices))

    @property
    def indices_were_set(self) -> bool:
        """Whether the maps were chosen."""
        return self.given_features is not None or self.given_indices is not None

    @property
    def selected(self) -> tuple[int, ...]:
        """The positions of the chosen stages, the last one by default."""
        chosen = agreed_indices(self.given_features, self.given_indices, self.stage_names, self.absent_maps)
        return chosen if chosen is not None else (len(self.stage_names) - 1,)


def _get_indices(config: MapSelection) -> list[int]:
    return list(config.selected)


def _set_indices(config: MapSelection, value: Positions) -> None:
    config.set_output_features_output_indices(None, value)


def _get_features(config: MapSelection) -> list[str]:
    names = config.stage_names
    return [names[index] for index in config.selected]


def _set_features(config: MapSelection, value: Names) -> None:
    config.set_output_features_output_indices(value, None)


OUT_INDICES = property(_get_indices, _set_indices)
OUT_FEATURES = property(_get_features, _set_features)
