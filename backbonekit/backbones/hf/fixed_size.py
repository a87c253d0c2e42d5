"""The check of models whose positions are made for images of one size."""

from collections.abc import Sequence

from backbonekit.errors import ContractError


def check_grid(given: Sequence[int], expected: Sequence[int], model_type: str) -> None:
    """Raises ContractError where a grid (height, width) is not the one that the positions are made for."""
    if tuple(given) != tuple(expected):
        raise ContractError(
            f"{model_type} takes images of its configuration's image_size alone: its positions are a grid of"
            f" {expected[0]} x {expected[1]}, and this image has {given[0]} x {given[1]}. Resize the image."
        )
