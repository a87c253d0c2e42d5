"""Dense maps of tiles blended into blocks of the whole image, each passed on as soon as no other tile adds to it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from backbonekit.postprocessing.tiling import Span

Take = Callable[[int, int, Tensor], None]  # (top, left, [channels, height, width]): a finished block


class Blend:
    """Maps [channels, height, width] of tiles, row by row from the top left, to finished blocks.

    Held are the tile, what it shares with the one right of it, and what the row shares with the one below: a strip of
    the image as high as the overlap.
    """

    def __init__(self, columns: Sequence[Span], take: Take) -> None:
        """`columns`: the tiles of each row. `take` receives every block once."""
        self.columns = columns
        self.take = take
        self._right: Tensor | None = None
        self._below: list[Tensor] = []
        self._from_above: list[Tensor] = []

    def add(self, row: Span, index: int, maps: Tensor) -> None:
        """The maps of tile `index` of a row, of all the pixels that were read for it."""
        column = self.columns[index]
        if index == 0:
            self._from_above, self._below, self._right = self._below, [], None
        weights = row.weights()[:, None] * column.weights()
        sums = maps[:, row.used - row.first :, column.used - column.first :] * weights.to(maps)
        height, width = sums.shape[1] - row.behind, sums.shape[2] - column.behind
        if row.before:
            sums[:, : row.before, :width] += self._from_above[index]
        if column.before:
            assert self._right is not None
            sums[:, :, : column.before] += self._right
        self._right = sums[:, :, width:].clone()
        # What lies below the finished block belongs to the next row, without the columns of the tile on the right.
        self._below.append(sums[:, height:, :width].clone())
        self.take(row.used, column.used, sums[:, :height, :width])
