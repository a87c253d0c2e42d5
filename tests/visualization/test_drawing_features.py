"""Feature maps in the colours of their principal components, and attention over an image."""

import numpy as np
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.contract.features import Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.errors import ContractError
from backbonekit.visualization.features import draw_attention, feature_colours


def a_map(channels, height, width, seed=0):
    return torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(5, 20, 30), (600, 7, 9)], ids=["few channels", "more channels than positions"])
def test_colours_are_the_first_three_principal_components(size):
    given = a_map(*size)
    (colours,) = feature_colours([given])
    positions = given.flatten(1).T.double()
    left, values, _ = torch.linalg.svd(positions - positions.mean(dim=0), full_matrices=False)
    for component in range(3):
        found = torch.from_numpy(colours[..., component].astype(float)).flatten()
        expected = left[:, component] * values[component]
        inside = (found > 0) & (found < 255)  # the tails are cut
        assert inside.float().mean() > 0.9
        correlation = torch.corrcoef(torch.stack([found[inside], expected[inside]]))[0, 1]
        assert abs(correlation) > 0.9999


def test_in_a_shared_basis_equal_features_have_equal_colours():
    fine = a_map(8, 6, 6)
    coarse = fine[:, ::2, ::2] * 1.0
    fine_colours, coarse_colours = feature_colours([fine, coarse], basis="shared")
    assert (fine_colours[::2, ::2] == coarse_colours).all()
    fine_alone, coarse_alone = feature_colours([fine, coarse])
    assert (fine_alone[::2, ::2] != coarse_alone).any()


def test_a_shared_basis_needs_equal_channels():
    with pytest.raises(ContractError, match=r"basis=shared.*have 8, 4\. The fix: basis=level"):
        feature_colours([a_map(8, 4, 4), a_map(4, 2, 2)], basis="shared")
    with pytest.raises(ContractError, match="did you mean 'shared'"):
        feature_colours([a_map(8, 4, 4)], basis="share")


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 1, 1), (64, 1, 2), (3, 5, 5)])
def test_odd_maps_are_drawn(shape):
    for given in (a_map(*shape), torch.zeros(shape), torch.full(shape, torch.nan)):
        (colours,) = feature_colours([given])
        assert colours.shape == (*shape[1:], 3)
    assert (feature_colours([torch.zeros(3, 4, 4)])[0] == 128).all()  # nothing varies: grey


def test_the_image_and_a_titled_tile_for_each_level():
    image = Image.new("RGB", (60, 40), "navy")
    levels = [Level("p2", 8, 4), Level("p3", 16, 8)]
    maps = [a_map(8, 10, 15)[None], a_map(16, 5, 8)]
    sheet = bk.draw_features(maps, image, levels=levels)
    assert bk.draw_features(FeatureMaps(tuple(maps)), image, levels=levels) == sheet
    assert sheet.width > 2 * 480
    untitled = bk.draw_features(maps, image)
    assert untitled.size == sheet.size
    assert untitled != sheet  # other titles, same maps


def test_cells_over_padding_are_not_shown():
    left_red = torch.zeros(3, 1, 4)
    left_red[:, 0, 2:] = torch.tensor([5.0, 1.0, 0.0])[:, None]  # the right half is another feature
    image = Image.new("RGB", (480, 480), "black")
    whole = np.asarray(bk.draw_features(left_red, image))
    half = np.asarray(bk.draw_features(left_red, image, extents=[(0.0, 1.0, 0.0, 0.5)]))

    def colours_of(sheet):
        row = sheet[sheet.shape[0] // 2, 500:960]
        return {tuple(pixel) for pixel in row.tolist()} - {(24, 24, 24)}

    assert len(colours_of(whole)) == 2
    assert len(colours_of(half)) == 1


@pytest.mark.parametrize("maps", [[], [torch.zeros(2, 3, 4, 4)], [torch.zeros(4, 4)], ["a"], [torch.zeros(0, 2, 2)]])
def test_what_is_no_map_of_one_image_is_refused(maps):
    with pytest.raises(ContractError, match="maps of one image are drawn"):
        bk.draw_features(maps, Image.new("RGB", (8, 8)))
    with pytest.raises(ContractError, match="one level for each map"):
        bk.draw_features([a_map(3, 2, 2)], Image.new("RGB", (8, 8)), levels=[])


def test_attention_is_bright_where_it_is_strong_and_the_position_is_ringed():
    weights = torch.zeros(4, 4)
    weights[0, 3] = 1.0
    image = Image.new("RGB", (480, 480), (90, 90, 90))
    drawn = np.asarray(draw_attention(image, weights)).astype(int).sum(axis=2)
    assert drawn[60, 420] > drawn[420, 60] + 200
    ringed = draw_attention(image, weights, point=(100, 300))
    changed = (np.asarray(ringed) != np.asarray(draw_attention(image, weights))).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 300) < 2
    assert abs(columns.mean() - 100) < 2
