"""The size rule of a backbone meets the processing of a recipe, before anything runs."""

import math
from collections.abc import Sequence
from dataclasses import replace

from backbonekit.contract.processing import Processing
from backbonekit.contract.roles import Blueprint
from backbonekit.errors import ContractError

_NEVER = "(adapt: never refuses this instead)"


def fitted_processing(
    processing: Processing, blueprint: Blueprint, out_indices: Sequence[int], *, may_adapt: bool
) -> tuple[Processing, list[str]]:
    """A processing whose images the backbone takes, and a note on what was changed for it.

    A size that the recipe fixes is never changed. Raises ContractError where it does not fit, and where something would
    have to change and `may_adapt` is False.
    """
    end = fixed_end(processing)
    if end is not None and end == blueprint.canvas and all(side % processing.size_divisor == 0 for side in end):
        return processing, []  # the size that it was made for
    sizes, backbone = blueprint.image_sizes(out_indices), blueprint.name
    if sizes.fixed is not None:
        return _of_one_size(processing, end, sizes.fixed, backbone, may_adapt)
    if sizes.multiple == 1:
        return processing, []
    multiple = sizes.multiple
    if end is not None and all(side % multiple == 0 for side in end):
        return processing, []
    takes = f"{backbone} takes images with sides that are multiples of {multiple}"
    if processing.canvas is not None:
        near = [math.ceil(side / multiple) * multiple for side in processing.canvas]
        raise ContractError(
            f"processing.canvas={list(processing.canvas)}: {takes} only. The fix: processing.canvas={near}."
        )
    if processing.size_divisor % multiple == 0:
        return processing, []
    divisor = math.lcm(processing.size_divisor, multiple)
    if not may_adapt:
        raise ContractError(f"{takes} only. The fix: processing.size_divisor={divisor}, or adapt=auto.")
    changed = replace(processing, size_divisor=divisor)
    return changed, [f"processing.size_divisor={divisor}, since {takes} only {_NEVER}"]


def fixed_end(processing: Processing) -> tuple[int, int] | None:
    """(height, width) that every image has at the end, or None where it depends on the image."""
    if processing.canvas is not None:
        return processing.canvas
    if processing.crop is not None:
        return processing.crop
    return None if processing.keep_aspect_ratio else processing.size


def _of_one_size(
    processing: Processing, end: tuple[int, int] | None, fixed: tuple[int, int], backbone: str, may_adapt: bool
) -> tuple[Processing, list[str]]:
    fits = end == fixed and all(side % processing.size_divisor == 0 for side in fixed)
    if fits:
        return processing, []
    takes = f"{backbone} takes images of {fixed[0]} x {fixed[1]} only"
    if not may_adapt or end is not None:
        given = f", and the processing makes them {end[0]} x {end[1]}" if end is not None else ""
        raise ContractError(f"{takes}{given}. The fix: processing.size=[{fixed[0]}, {fixed[1]}].")
    changed = replace(
        processing,
        size=fixed,
        shortest_edge=None,
        longest_edge=None,
        keep_aspect_ratio=False,
        multiple_of=1,
        size_divisor=1,
    )
    return changed, [f"processing.size=[{fixed[0]}, {fixed[1]}], since {takes} {_NEVER}"]
