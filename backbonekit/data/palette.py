"""Maps of colours as maps of classes."""

from collections.abc import Mapping

import numpy as np

from backbonekit.contract.label_map import IGNORE
from backbonekit.errors import ContractError, RecipeError

_STEPS = np.array([1, 256, 256 * 256])


class Palette:
    """`colours`: (red, green, blue) of each class, in the order of the classes; `ignore` is the colour of pixels that
    belong to none. Raises RecipeError for a colour of two classes."""

    def __init__(self, colours: Mapping[str, tuple[int, int, int]]) -> None:
        self._names = [name for name in colours if name != IGNORE]
        self._colours = colours
        self._numbers = {name: int(np.array(colour) @ _STEPS) for name, colour in colours.items()}
        seen: dict[int, str] = {}
        faults = [
            f"data.palette.{name}: has the colour of {seen[number]!r}, {list(colours[name])}."
            for name, number in self._numbers.items()
            if seen.setdefault(number, name) != name
        ]
        if not self._names:
            faults.append("data.palette: no class in it.")
        if faults:
            raise RecipeError(faults)

    def classes(self, colours: np.ndarray, ignore_label: int) -> np.ndarray:
        """int64 [height, width] of colours [height, width, 3 or 4]. Raises ContractError for a colour of no class."""
        if colours.ndim != 3 or colours.shape[-1] not in (3, 4):
            raise ContractError(
                f"a map of shape {list(colours.shape)}, and data.palette is for maps of colours [height, width, 3]."
            )
        numbers = colours[..., :3].astype(np.int64) @ _STEPS
        classes = np.full(numbers.shape, -2, dtype=np.int64)
        for name, number in self._numbers.items():
            classes[numbers == number] = ignore_label if name == IGNORE else self._names.index(name)
        unknown = numbers[classes == -2]
        if unknown.size:
            values, counts = np.unique(unknown, return_counts=True)
            colour = [int(values[counts.argmax()]) // int(step) % 256 for step in _STEPS]
            raise ContractError(
                f"the colour {colour} of {unknown.size:,} pixels is not in data.palette. Where it is no class: "
                f"data.palette.ignore={colour}."
            )
        return classes
