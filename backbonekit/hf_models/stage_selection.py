"""`out_features` and `out_indices` say the same thing twice; here they are brought together."""

from collections.abc import Sequence

from backbonekit.contract.indices import indices_of_features, normalise_indices
from backbonekit.errors import ContractError


def agreed_indices(
    out_features: Sequence[str] | None,
    out_indices: int | Sequence[int] | None,
    stage_names: Sequence[str],
    forbidden: frozenset[int] = frozenset(),
) -> tuple[int, ...] | None:
    """Sorted positions in `stage_names`, or None where neither is given.

    Raises ContractError (a ValueError) that lists the stages for what is no stage, unsorted or repeated, and where the
    two name different stages.
    """
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
        raise ContractError(f"This backbone gives no map of {stage_names[absent[0]]!r}; leave it out.")
    return chosen


def _plain(out_indices: int | Sequence[int]) -> int | Sequence[int]:
    # Hydra's lists are sequences of their own kind.
    return out_indices if isinstance(out_indices, int | str) else list(out_indices)
