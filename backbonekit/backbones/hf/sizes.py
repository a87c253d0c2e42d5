"""Types of configuration fields that stand for a square: one number, or the same number twice."""

from typing import Annotated

from backbonekit.contract.options import Range

Side = Annotated[int, Range(1, 16_384)]
Square = Side | tuple[Side, Side]


def sides(value: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width)."""
    return (value, value) if isinstance(value, int) else value
