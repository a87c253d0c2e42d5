"""From a prediction's grid to an image's pixels: whole, in strips, by either kernel."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.contract.processing import Geometry
from backbonekit.postprocessing.window import resample, window_of

WHOLE = Geometry((90, 61), (64, 48), (0, 0), (64, 48), (64, 48))
PADDED = Geometry((90, 61), (60, 41), (0, 0), (60, 41), (64, 64))
CROPPED = Geometry((90, 61), (64, 48), (4, 8), (56, 32), (56, 32))


def test_without_padding_it_is_interpolation():
    maps = torch.randn(3, 16, 12)
    expected = functional.interpolate(maps[None], size=(90, 61), mode="bilinear", align_corners=False)[0]
    assert torch.equal(resample(maps, window_of(WHOLE, (16, 12))), expected)


@pytest.mark.parametrize("geometry", [WHOLE, PADDED, CROPPED])
def test_strips_are_parts_of_the_whole_and_both_kernels_agree(geometry):
    grid = (geometry.canvas[0] // 4, geometry.canvas[1] // 4)
    maps = torch.randn(3, *grid, dtype=torch.float64)
    window = window_of(geometry, grid)
    whole = resample(maps, window)
    height = len(window.rows)
    for start in range(0, height, 17):
        torch.testing.assert_close(resample(maps, window, rows=slice(start, start + 17)), whole[:, start : start + 17])
    part = maps[None, :, : window.cells[0], : window.cells[1]]
    positions = torch.stack(torch.meshgrid(window.rows, window.columns, indexing="ij")[::-1], dim=-1)
    sampled = functional.grid_sample(part, positions[None], padding_mode="border", align_corners=False)[0]
    torch.testing.assert_close(whole, sampled)
