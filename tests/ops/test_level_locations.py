"""Maps joined to one sequence and split again; references against their definition."""

import torch

from backbonekit.ops.level_places import join_places, place_references, real_shares, split_places

SHAPES = [(4, 6), (2, 3), (1, 1)]


def test_split_is_the_inverse_of_join():
    maps = [torch.randn(2, 5, *shape) for shape in SHAPES]
    places, shapes = join_places(maps)
    assert shapes == SHAPES
    assert places.shape == (2, 31, 5)
    assert torch.equal(places[:, 24 + 4], maps[1][:, :, 1, 1])
    assert all(torch.equal(one, other) for one, other in zip(split_places(places, shapes), maps, strict=True))


def test_without_padding_a_place_is_at_one_point_of_all_maps():
    references = place_references(SHAPES, like=torch.zeros(1))
    assert references.shape == (1, 31, 3, 2)
    torch.testing.assert_close(references[0, 6 + 2], torch.tensor([[2.5 / 6, 1.5 / 4]]).expand(3, -1))
    torch.testing.assert_close(references[0, -1], torch.full((3, 2), 0.5))
    shares = torch.ones(2, 3, 2)
    torch.testing.assert_close(place_references(SHAPES, like=shares, shares=shares), references.expand(2, -1, -1, -1))


def test_with_padding_a_place_is_at_one_point_of_the_image_on_all_maps():
    masks = [torch.zeros(2, *shape, dtype=torch.bool) for shape in SHAPES]
    for mask in masks:
        mask[0] = True
    masks[0][1, :2, :3] = masks[1][1, :1, :2] = masks[2][1] = True
    shares = real_shares(masks, torch.float32)
    torch.testing.assert_close(shares[1], torch.tensor([[3 / 6, 2 / 4], [2 / 3, 1 / 2], [1.0, 1.0]]))
    assert (shares[0] == 1).all()
    references = place_references(SHAPES, like=shares, shares=shares)
    # Row 1, column 2 of the first map is at (2.5 / 3, 1.5 / 2) of the image.
    torch.testing.assert_close(references[1, 6 + 2], torch.tensor([2.5 / 3, 1.5 / 2]) * shares[1])
    nothing = place_references(SHAPES, like=shares, shares=torch.zeros(1, 3, 2))
    assert nothing.isfinite().all()
