"""Which maps: `out_indices`, `out_features` and `out_strides` become sorted, unique positions. No torch here."""

from collections.abc import Sequence
from typing import Any

from backbonekit.contract.features import Level, deepest_in_octave
from backbonekit.errors import ContractError, nearest


def normalise_indices(out_indices: int | Sequence[int], stage_names: Sequence[str]) -> tuple[int, ...]:
    """Positions in `stage_names`, negatives counted from the end.

    Raises ContractError for what is empty, no whole number, out of range, repeated or unsorted; the message lists the
    stages and, where there is one, the fix.
    """
    given: Any = [out_indices] if _is_index(out_indices) else out_indices
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ContractError(f"out_indices must be a list of whole numbers such as [1, 2], got {out_indices!r}.")
    given = list(given)
    wrong = [index for index in given if not _is_index(index)]
    if wrong:
        raise ContractError(f"out_indices must be whole numbers, got {wrong[0]!r} in {given}.")
    if not given:
        raise ContractError(f"out_indices is empty; name at least one of {_numbered(stage_names)}.")
    count = len(stage_names)
    outside = [index for index in given if not -count <= index < count]
    if outside:
        raise ContractError(
            f"out_indices {given}: {', '.join(map(str, outside))} out of range; the stages are {_numbered(stage_names)}"
            f" (-1 is the last)."
        )
    positions = [index % count for index in given]
    if len(set(positions)) < len(positions):
        raise ContractError(f"out_indices {given} repeats a stage; did you mean {sorted(set(positions))}?")
    if positions != sorted(positions):
        raise ContractError(f"out_indices {given} is not in network order; did you mean {sorted(positions)}?")
    return tuple(positions)


def indices_of_features(out_features: Sequence[str], stage_names: Sequence[str]) -> tuple[int, ...]:
    """Positions of stages given by name, by the same rules."""
    if isinstance(out_features, str) or not isinstance(out_features, Sequence):
        raise ContractError(f"out_features must be a list of stage names, got {out_features!r}.")
    unknown = [name for name in out_features if name not in stage_names]
    if unknown:
        raise ContractError(
            f"out_features: no stage {unknown[0]!r}; {nearest(str(unknown[0]), stage_names)}"
            f" The stages are {_numbered(stage_names)}."
        )
    return normalise_indices([list(stage_names).index(name) for name in out_features], stage_names)


def indices_at_strides(out_strides: Sequence[float], levels: Sequence[Level]) -> tuple[int, ...]:
    """Positions of the deepest level at each stride (nearest power of two), by the same rules."""
    found = [deepest_in_octave(tuple(levels), stride) for stride in out_strides]
    missing = [stride for stride, position in zip(out_strides, found, strict=True) if position is None]
    if missing:
        strides = ", ".join(f"{level.stride:g}" for level in levels)
        raise ContractError(
            f"out_strides {list(out_strides)}: no map of stride {missing[0]}; the strides are {strides}."
        )
    return normalise_indices([position for position in found if position is not None], [level.name for level in levels])


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbered(stage_names: Sequence[str]) -> str:
    return ", ".join(f"{index} {name}" for index, name in enumerate(stage_names))
