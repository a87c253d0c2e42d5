"""Which images a backbone takes. No torch here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """`fixed`: the only (height, width), or None. `multiple`: what both sides must be multiples of."""

    fixed: tuple[int, int] | None = None
    multiple: int = 1


ANY_SIZE = ImageSizes()
