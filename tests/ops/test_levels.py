"""Levels flattened to one sequence and split again; reference points against their definition."""

import torch

from backbonekit.ops.levels import flatten_levels, reference_points, split_levels, valid_ratios

SHAPES = [(4, 6), (2, 3), (1, 1)]


def test_splitting_is_the_inverse_of_flattening():
    maps = [torch.randn(2, 5, *shape) for shape in SHAPES]
    flat, shapes = flatten_levels(maps)
    assert shapes == SHAPES
    assert flat.shape == (2, 31, 5)
    assert torch.equal(flat[:, 24 + 4], maps[1][:, :, 1, 1])
    assert all(torch.equal(one, other) for one, other in zip(split_levels(flat, shapes), maps, strict=True))


def test_without_padding_a_position_has_the_same_point_on_all_levels():
    references = reference_points(SHAPES, like=torch.zeros(1))
    assert references.shape == (1, 31, 3, 2)
    torch.testing.assert_close(references[0, 6 + 2], torch.tensor([[2.5 / 6, 1.5 / 4]]).expand(3, -1))
    torch.testing.assert_close(references[0, -1], torch.full((3, 2), 0.5))
    ratios = torch.ones(2, 3, 2)
    torch.testing.assert_close(reference_points(SHAPES, like=ratios, ratios=ratios), references.expand(2, -1, -1, -1))


def test_with_padding_a_position_has_the_same_point_of_the_image_on_all_levels():
    masks = [torch.zeros(2, *shape, dtype=torch.bool) for shape in SHAPES]
    for mask in masks:
        mask[0] = True
    masks[0][1, :2, :3] = masks[1][1, :1, :2] = masks[2][1] = True
    ratios = valid_ratios(masks, torch.float32)
    torch.testing.assert_close(ratios[1], torch.tensor([[3 / 6, 2 / 4], [2 / 3, 1 / 2], [1.0, 1.0]]))
    assert (ratios[0] == 1).all()
    references = reference_points(SHAPES, like=ratios, ratios=ratios)
    # Row 1, column 2 of the first map is at (2.5 / 3, 1.5 / 2) of the image.
    torch.testing.assert_close(references[1, 6 + 2], torch.tensor([2.5 / 3, 1.5 / 2]) * ratios[1])
    nothing = reference_points(SHAPES, like=ratios, ratios=torch.zeros(1, 3, 2))
    assert nothing.isfinite().all()
