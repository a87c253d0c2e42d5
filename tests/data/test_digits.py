"""Pages of digits: their targets, and that a page depends on its split and index alone."""

import numpy as np
import pytest
import torch

from backbonekit.data import open_data
from backbonekit.errors import RecipeError

pytest.importorskip("sklearn")


def test_objects_have_boxes_around_their_masks():
    split = open_data({"name": "digits", "train": 20}).split("train")
    counts = set()
    for index in range(20):
        image, target = split[index]
        assert image.size == (64, 64)
        counts.add(len(target["labels"]))
        for box, mask in zip(target["boxes"].int().tolist(), target["masks"], strict=True):
            left, top, right, bottom = box
            assert mask[top:bottom, left:right].sum() == mask.sum() > 0
            assert mask[top].any()
            assert mask[bottom - 1].any()
            assert mask[:, left].any()
            assert mask[:, right - 1].any()
        assert target["masks"].sum(dim=0).max() == 1  # they never hide each other
    assert counts == {1, 2, 3, 4}


def test_segmentation_and_class():
    data = open_data({"name": "digits", "targets": "segmentation"})
    assert data.labels.names[10] == "background"
    _, target = data.split("val")[3]
    assert 10 in target["segmentation"].unique()
    data = open_data({"name": "digits", "targets": "class"})
    assert {int(data.split("val")[index][1]["class"]) for index in range(60)} == set(range(10))


def test_a_page_is_the_same_whenever_it_is_read():
    one, other = (open_data({"name": "digits"}) for _ in range(2))
    image, target = one.split("train")[7]
    one.split("train")[8]
    again, same = other.split("train")[7]
    assert np.array_equal(np.asarray(image), np.asarray(again))
    assert torch.equal(target["masks"], same["masks"])
    assert not np.array_equal(np.asarray(image), np.asarray(one.split("val")[7][0]))
    assert one.split("train").name(7) == "train/7"


def test_a_split_without_pages():
    with pytest.raises(RecipeError, match="no split 'val'"):
        open_data({"name": "digits", "val": 0}).split("val")
