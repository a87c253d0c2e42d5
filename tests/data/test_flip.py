"""A mirrored sample is the mirrored image with everything of its target in the mirrored position."""

import pytest
import torch

from backbonekit.contract.labels import Labels
from backbonekit.data import open_augmentation
from backbonekit.data.augmentation.sample import Sample
from backbonekit.errors import ContractError

NAMES = Labels(("nose", "left_eye", "right_eye"))


def whole_sample(**options):
    """An object of 10 x 6 pixels in an image of 20 x 30, in every key."""
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[4:10, 5:15] = True
    target = {
        "labels": torch.tensor([1]),
        "boxes": torch.tensor([[5.0, 4, 15, 10]]),
        "masks": inside[None],
        "segmentation": inside.long(),
        "depth": inside.float(),
        "keypoints": torch.tensor([[[6.0, 5, 2], [7, 6, 2], [8, 7, 1]]]),
    }
    return Sample((inside * 200).to(torch.uint8)[None].expand(3, -1, -1), target, NAMES, **options)


def flip(name, sample, **options):
    (step,) = open_augmentation([{"name": name, "probability": 1, **options}])
    return step(sample, lambda: sample)


def test_left_and_right():
    flipped = flip("horizontal_flip", whole_sample())
    target = flipped.target
    assert target["boxes"].tolist() == [[15, 4, 25, 10]]
    assert target["keypoints"].tolist() == [[[24, 5, 2], [22, 7, 1], [23, 6, 2]]]  # the eyes change their sides
    inside = flipped.image[0] > 0
    for key in ("masks", "segmentation", "depth"):
        assert torch.equal(target[key].squeeze().bool(), inside)
    assert inside[4:10, 15:25].all()
    assert inside.sum() == 60


def test_top_and_bottom():
    target = flip("vertical_flip", whole_sample()).target
    assert target["boxes"].tolist() == [[5, 10, 15, 16]]
    assert target["keypoints"].tolist() == [[[6, 15, 2], [7, 14, 2], [8, 13, 1]]]
    assert target["masks"][0, 10:16, 5:15].all()


def test_pairs_of_keypoints_by_number_or_none():
    pairs = flip("horizontal_flip", whole_sample(), keypoint_pairs=[[0, 2]]).target["keypoints"]
    assert pairs[0, :, 0].tolist() == [22, 23, 24]
    assert flip("horizontal_flip", whole_sample(), keypoint_pairs=[]).target["keypoints"][0, :, 0].tolist() == [
        24,
        23,
        22,
    ]
    with pytest.raises(ContractError, match="keypoint_pairs has 3, and the keypoints are 0 to 2"):
        flip("horizontal_flip", whole_sample(), keypoint_pairs=[[0, 3]])
    sample = whole_sample()
    unnamed = Sample(sample.image, sample.target)
    with pytest.raises(ContractError, match="the names of these 3 are not known"):
        flip("horizontal_flip", unnamed)


def test_an_image_without_objects():
    sample = Sample(
        torch.zeros(3, 4, 6, dtype=torch.uint8),
        {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4), "masks": torch.zeros(0, 4, 6).bool()},
    )
    assert flip("horizontal_flip", sample).target["boxes"].shape == (0, 4)
