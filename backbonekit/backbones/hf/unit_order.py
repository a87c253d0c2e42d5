"""The order of tokens in Hiera: those that are pooled together stand far apart, those of one unit as far."""

from torch import Tensor, nn


class ToUnitOrder(nn.Module):
    """A map [batch, height, width, channels] as tokens [batch, height * width, channels] in the order of `poolings`.

    The first stride * stride parts of the tokens are what the first pooling brings together, each ordered so for the
    next. `poolings`: how often `stride` (down, right) is still taken out of the map, which must be a multiple of it.

    Source: "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", https://arxiv.org/abs/2306.00989.
    """

    def __init__(self, stride: tuple[int, int], poolings: int) -> None:
        super().__init__()
        self.stride, self.poolings = stride, poolings

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        height, width = x.shape[1] // down**self.poolings, x.shape[2] // right**self.poolings
        steps = range(self.poolings)
        x = x.unflatten(2, (width, *(right for _ in steps))).unflatten(1, (height, *(down for _ in steps)))
        # Of each axis the place in the last pooling's map comes first, then the last stride and so on to the first.
        rows, columns = 1, 2 + self.poolings
        strides = [axis + step for step in reversed(range(1, 1 + self.poolings)) for axis in (rows, columns)]
        return x.permute(0, *strides, rows, columns, x.ndim - 1).flatten(1, -2)


class FromUnitOrder(nn.Module):
    """The inverse of `ToUnitOrder`, for tokens that make a map of `grid` (height, width)."""

    def __init__(self, stride: tuple[int, int], poolings: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.poolings, self.grid = stride, poolings, grid

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        height, width = self.grid[0] // down**self.poolings, self.grid[1] // right**self.poolings
        x = x.unflatten(1, (*(down, right) * self.poolings, height, width))
        # [batch, down, right, ..., height, width, channels], the first pooling's strides first
        last = 2 * self.poolings
        rows = [last + 1, *range(last - 1, 0, -2)]
        columns = [last + 2, *range(last, 0, -2)]
        return x.permute(0, *rows, *columns, x.ndim - 1).reshape(x.shape[0], *self.grid, x.shape[-1])
