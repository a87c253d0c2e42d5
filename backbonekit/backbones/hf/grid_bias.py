"""BEiT's bias of attention by relative position, from a table that fits any grid."""

import torch
from jaxtyping import Float, Int
from timm.models.beit import Block
from torch import Tensor, nn
from torch.nn.functional import interpolate

_OF_CLASS_TOKEN = 3  # the last rows of a table: class to places, places to class, class to class


class GridPositionBias(nn.Module):
    """One number for each head and each way between two places of a square grid, stretched to the grid it is asked for.

    Source: "BEiT: BERT Pre-Training of Image Transformers", https://arxiv.org/abs/2106.08254; for other grids "MiDaS
    v3.1", https://arxiv.org/abs/2307.14460.
    """

    def __init__(self, side: int, heads: int) -> None:
        super().__init__()
        self.ways = 2 * side - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(self.ways**2 + _OF_CLASS_TOKEN, heads))

    def forward(self, index: Int[Tensor, "tokens tokens"], grid: tuple[int, int]) -> Float[Tensor, "1 heads t t"]:
        """`index`: what `way_index` gives for this grid (height, width)."""
        table = self.relative_position_bias_table
        # [ways * ways, heads] -> [1, heads, ways, ways]
        square = table[:-_OF_CLASS_TOKEN].unflatten(0, (self.ways, self.ways)).permute(2, 0, 1).unsqueeze(0)
        stretched = interpolate(square, size=(2 * grid[0] - 1, 2 * grid[1] - 1), mode="bilinear")
        # [1, heads, rows, columns] -> [rows * columns, heads]
        places = stretched[0].permute(1, 2, 0).flatten(0, 1)
        fitted = torch.cat((places, table[-_OF_CLASS_TOKEN:]))
        return fitted[index].permute(2, 0, 1).contiguous().unsqueeze(0)


def way_index(grid: tuple[int, int], device: torch.device) -> Int[Tensor, "tokens tokens"]:
    """The row of a grid's table for each pair of tokens, the class token first."""
    height, width = grid
    rows = torch.arange(height, device=device).repeat_interleave(width)
    columns = torch.arange(width, device=device).repeat(height)
    down = rows[:, None] - rows + height - 1
    right = columns[:, None] - columns + width - 1
    index = down * (2 * width - 1) + right
    ways = (2 * height - 1) * (2 * width - 1)
    from_class = index.new_full((1, height * width), ways)
    to_class = index.new_full((height * width, 1), ways + 1)
    corner = index.new_full((1, 1), ways + 2)
    return torch.cat((torch.cat((corner, from_class), 1), torch.cat((to_class, index), 1)))


class GridBiasBlock(Block):
    """timm's block with a bias that is made for the grid of the moment. `position_bias`: its own, or None."""

    position_bias: GridPositionBias | None

    def forward(  # type: ignore[override]
        self, x: Tensor, shared: Tensor | None, index: Tensor | None, grid: tuple[int, int]
    ) -> Tensor:
        """x: [batch, tokens, channels]. `shared`: a bias that all blocks have in common."""
        bias = shared
        if self.position_bias is not None and index is not None:
            own = self.position_bias(index, grid)
            bias = own if shared is None else own + shared
        return super().forward(x, bias)
