"""Which part of a prediction's grid belongs to which pixels of the original image.

A prediction's grid covers the canvas: the image, resized and cropped, in the top left corner, padding below and right
of it. Coming back is one resampling from the grid's cells to the image's own pixels, in which no cell of padding takes
part, so that a mask over the whole image comes back as the whole image.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.processing import Geometry

# Resampled values held at once: 16 million floats are 64 MB, where 150 classes at 4000 x 3000 would be 7 GB.
_VALUES_AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """`box`: (top, bottom, left, right) in the original image: what the model saw; less than all after a centre crop.
    `cells`: (height, width) of the grid's part that lies on real pixels. `rows` and `columns`: for each pixel of the
    box, its position on that part in [-1, 1], edges of cells at the ends. `exact`: every cell is one pixel. `scales`:
    how many pixels a cell is high and wide, where the first pixel begins with the first cell; None after a crop."""

    original: tuple[int, int]
    box: tuple[int, int, int, int]
    cells: tuple[int, int]
    rows: Tensor
    columns: Tensor
    exact: bool
    scales: tuple[float, float] | None

    @property
    def complete(self) -> bool:
        """Whether the model saw the whole image."""
        top, bottom, left, right = self.box
        return (bottom - top, right - left) == self.original


def window_of(geometry: Geometry, grid: tuple[int, int]) -> Window:
    """The window of one image in a prediction's grid of (height, width) cells."""
    cells = cells_of(geometry, grid)
    top, bottom, rows = _axis(geometry, 0, grid[0], cells[0])
    left, right, columns = _axis(geometry, 1, grid[1], cells[1])
    exact = geometry.original == geometry.resized == geometry.shown == cells and grid == geometry.canvas
    scales = None
    if geometry.crop_offset == (0, 0) and geometry.shown == geometry.resized:
        high, wide = (
            original * canvas / (resized * length)
            for original, resized, canvas, length in zip(
                geometry.original, geometry.resized, geometry.canvas, grid, strict=True
            )
        )
        scales = (high, wide)
    return Window(geometry.original, (top, bottom, left, right), cells, rows, columns, exact, scales)


def cells_of(geometry: Geometry, grid: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the part of a grid of cells that lies on real pixels."""
    height, width = (
        min(cells, math.ceil(shown * cells / canvas))
        for cells, shown, canvas in zip(grid, geometry.shown, geometry.canvas, strict=True)
    )
    return height, width


def resample(maps: Tensor, window: Window, *, mode: str = "bilinear", rows: slice = slice(None)) -> Tensor:
    """[channels, height, width] on the grid -> [channels, rows of the box, columns of the box].

    Equal to `functional.interpolate(align_corners=False)` where nothing was padded or cropped.
    """
    part = maps[None, :, : window.cells[0], : window.cells[1]]
    vertical, horizontal = window.rows[rows], window.columns
    if window.exact:
        return part[0, :, rows]
    if mode == "bilinear" and window.scales is not None:
        return _upsampled(part, window, range(*rows.indices(len(window.rows))))[0]
    shape = (len(vertical), len(horizontal))
    positions = torch.stack([horizontal[None].expand(shape), vertical[:, None].expand(shape)], dim=-1)
    return functional.grid_sample(
        part, positions[None].to(part.device, part.dtype), mode=mode, padding_mode="border", align_corners=False
    )[0]


def _upsampled(part: Tensor, window: Window, rows: range) -> Tensor:
    """[1, channels, height, width] -> [1, channels, len(rows), columns of the box], by the kernel of `interpolate`,
    which is faster than `grid_sample`."""
    assert window.scales is not None
    high, wide = window.scales
    size = [len(rows), len(window.columns)]
    if len(rows) == len(window.rows):
        return torch.ops.aten.upsample_bilinear2d(part, size, False, high, wide)
    positions = (torch.arange(rows.start, rows.stop, dtype=torch.float64) + 0.5) / high - 0.5
    positions = positions.clamp(0, part.shape[2] - 1)
    above = positions.floor().long()
    share = (positions - above).to(part.device, part.dtype)[:, None]
    above, below = above.to(part.device), (above + 1).clamp(max=part.shape[2] - 1).to(part.device)
    between = torch.lerp(part[:, :, above], part[:, :, below], share)
    return torch.ops.aten.upsample_bilinear2d(between, size, False, 1.0, wide)


def strips(window: Window, channels: int) -> Iterator[slice]:
    """Rows of the box, a bounded number of values at a time."""
    total, width = len(window.rows), max(len(window.columns), 1)
    rows = max(1, _VALUES_AT_ONCE // (max(channels, 1) * width))
    for start in range(0, total, rows):
        yield slice(start, min(start + rows, total))


def on_image(values: Tensor, window: Window, outside: float) -> Tensor:
    """[..., rows, columns] of the box put into the whole image, `outside` where the model saw nothing."""
    if window.complete:
        return values
    top, bottom, left, right = window.box
    whole = values.new_full((*values.shape[:-2], *window.original), outside)
    whole[..., top:bottom, left:right] = values
    return whole


def _axis(geometry: Geometry, axis: int, grid: int, cells: int) -> tuple[int, int, Tensor]:
    """(first pixel, last pixel + 1, positions) along height (0) or width (1), on a grid with that many real cells."""
    original, resized = geometry.original[axis], geometry.resized[axis]
    offset, shown, canvas = geometry.crop_offset[axis], geometry.shown[axis], geometry.canvas[axis]
    # on_canvas: [original], where each original pixel's centre lies on the canvas
    on_canvas = (torch.arange(original, dtype=torch.float64) + 0.5) * (resized / original) - offset
    seen = ((on_canvas >= 0) & (on_canvas <= shown)).nonzero()
    if len(seen):
        first, last = int(seen[0]), int(seen[-1]) + 1
    else:  # a tiny image, so enlarged that the crop lies between the centres of two of its pixels
        first = int((on_canvas - shown / 2).abs().argmin())
        last = first + 1
    positions = on_canvas[first:last] * (grid / canvas) / cells * 2 - 1
    return first, last, positions
