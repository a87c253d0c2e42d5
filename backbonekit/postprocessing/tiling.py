"""An image covered by overlapping tiles: where they lie, and how much each counts at every pixel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Windows are moved by multiples of this many pixels, the coarsest stride of most backbones, so that a map of a tile has
# the grid of the map of the whole image.
_STEP = 32


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one axis, in pixels of the image. `first` to `end`: what is read. `used` to `end`: what counts; it
    is shared with the tile before over its first `before` pixels, and with the tile behind over its last `behind`."""

    first: int
    used: int
    end: int
    before: int
    behind: int

    @property
    def length(self) -> int:
        return self.end - self.first

    def weights(self) -> Tensor:
        """float32 [end - used]: rising and falling where tiles share pixels, as one half of a Hann window each, so that
        the weights of two tiles add up to 1."""
        weights = torch.ones(self.end - self.used)
        if self.before:
            weights[: self.before] = _rising(self.before)
        if self.behind:
            weights[-self.behind :] = 1 - _rising(self.behind)
        return weights


def _rising(length: int) -> Tensor:
    return (torch.pi / 2 * (torch.arange(length) + 0.5) / length).sin().square()


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Tiles of at most `tile` pixels that share `overlap`, at most half of `tile`, with each neighbour.

    The last one is moved back, so that it has nearly the length of the others; its used part is as if it were not.
    """
    step = tile - overlap
    count = max(1, math.ceil((length - overlap) / step))
    found = []
    for index in range(count):
        used, end = index * step, min(index * step + tile, length)
        moved = (tile - (end - used)) // _STEP * _STEP if index else 0
        is_last = index == count - 1
        found.append(Span(used - moved, used, end, overlap if index else 0, 0 if is_last else overlap))
    return found
