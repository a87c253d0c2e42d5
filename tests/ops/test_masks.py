"""Masks at other sizes, segmentations split by class."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.ops.masks import classes_present, masks_of_classes, resize_labels


@pytest.mark.parametrize("size", [(16, 22), (33, 87), (1, 1), (131, 87)])
def test_nearest_is_that_of_interpolate_for_every_type(size):
    masks = torch.rand(3, 131, 87) > 0.5
    labels = torch.randint(-1, 1000, (131, 87))
    expected = functional.interpolate(masks[:, None].double(), size=size, mode="nearest")[:, 0].bool()
    assert torch.equal(resize_labels(masks, size), expected)
    expected = functional.interpolate(labels[None, None].double(), size=size, mode="nearest")[0, 0].long()
    assert torch.equal(resize_labels(labels, size), expected)


def test_no_mask_is_resized_to_no_mask():
    assert resize_labels(torch.zeros(0, 8, 8, dtype=torch.bool), (2, 3)).shape == (0, 2, 3)


def test_classes_present_counts_neither_ignored_nor_foreign_labels():
    segmentation = torch.tensor([[[0, 255], [2, 2]], [[-1, 7], [255, 255]]])
    assert classes_present(segmentation, 3).tolist() == [[True, False, True], [False, False, False]]


def test_masks_of_classes_broadcast_one_segmentation():
    segmentation = torch.tensor([[0, 255], [2, 2]])
    masks = masks_of_classes(segmentation[None], torch.tensor([0, 1, 2]))
    assert masks.tolist() == [[[True, False], [False, False]], [[False] * 2] * 2, [[False, False], [True, True]]]
