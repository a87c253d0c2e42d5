"""Settings are checked against the option table, all faults at once and without torch; data sets of Python's own."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.datasets import DataSource, Split
from backbonekit.contract.labels import Labels
from backbonekit.data import GivenData, open_augmentation, open_data
from backbonekit.errors import ContractError, RecipeError, StorageError

IMAGE = Image.new("RGB", (30, 20))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data.name is missing: which format of data"),
        ({"name": "cocoo"}, "there is no format of data named 'cocoo'; did you mean 'coco'"),
        ({"name": "coco"}, "data.root is missing: coco needs it"),
        ({"name": "coco", "root": "x", "trian": "a"}, "coco has no such option; did you mean 'train'"),
        ({"name": "coco", "root": "x", "train": 3}, "data.train: given 3, must be text or null"),
        ("coco", "data.root is missing"),
        (3, "data: given 3, must be a mapping"),
    ],
)
def test_faults_of_settings(settings, message):
    with pytest.raises(RecipeError, match=message):
        open_data(settings)


def test_all_faults_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        open_data({"name": "coco", "masks": 1, "names": "a"})
    assert len(caught.value.faults) == 3


def test_a_root_that_is_not_there_and_no_split(tmp_path):
    with pytest.raises(StorageError, match=r"data\.root=.*: there is no such folder"):
        open_data({"name": "coco", "root": str(tmp_path / "x"), "train": "a"})
    with pytest.raises(RecipeError, match=r"give at least one of data\.train, data\.val"):
        open_data({"name": "coco", "root": str(tmp_path)})
    with pytest.raises(StorageError, match=r"data\.train=trian\.json: .* does not exist"):
        _ = open_data({"name": "coco", "root": str(tmp_path), "train": "trian.json"}).labels


def test_a_mistake_is_told_without_torch():
    program = (
        "import sys\nfrom backbonekit.data import open_augmentation, open_data\n"
        "for action in (lambda: open_data({'name': 'cocoo'}), lambda: open_augmentation([{'name': 'flop'}])):\n"
        "    try: action()\n    except ValueError: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_faults_of_augmentations():
    with pytest.raises(RecipeError) as caught:
        open_augmentation([{"name": "horizontal_flap"}, {"name": "horizontal_flip", "probability": 2}])
    first, second = caught.value.faults
    assert "augmentation.0.name: there is no augmentation named 'horizontal_flap'; did you mean" in first
    assert "An augmentation of your own" in first
    with pytest.raises(RecipeError, match="augmentation=paper follows a model"):
        open_augmentation("paper")
    assert open_augmentation(None) == []
    assert "augmentation.1.probability: given 2, must be a number from 0 to 1" in second
    with pytest.raises(RecipeError, match="must be null, paper, or a list"):
        open_augmentation({"name": "horizontal_flip"})
    (step,) = open_augmentation(["vertical_flip"])
    assert step.probability == 0.5


def test_pairs_of_python_are_a_source():
    annotations = [{"bbox": [5, 4, 10, 6], "category_id": 18, "iscrowd": 1}]
    pairs = [
        (IMAGE, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}),
        (IMAGE, np.int64(2)),
        (IMAGE, annotations),
        (torch.zeros(3, 20, 30), {"image_id": 5, "annotations": annotations}),
    ]
    source = GivenData(train=pairs, labels=Labels(("dog",), category_ids=(18,)))
    assert isinstance(source, DataSource)
    split = source.split("train")
    assert isinstance(split, Split)
    assert (len(split), split.name(2), split.image_id(2)) == (4, "train[2]", 2)
    assert split[0][1]["boxes"].shape == (0, 4)
    assert int(split[1][1]["class"]) == 2
    for index in (2, 3):
        assert split[index][1]["boxes"].tolist() == [[5, 4, 15, 10]]
        assert split[index][1]["labels"].tolist() == [0]
        assert split[index][1]["iscrowd"].tolist() == [True]
    assert GivenData(val=pairs, labels=["a", "b"]).labels == Labels(("a", "b"))
    with pytest.raises(RecipeError, match="GivenData has no split 'val'; allowed: train"):
        source.split("val")


@pytest.mark.parametrize(("pair", "message"), [(IMAGE, r"train\[0\]: a pair"), ((IMAGE, 1.5), "is of type float")])
def test_what_is_no_pair(pair, message):
    with pytest.raises(ContractError, match=message):
        GivenData(train=[pair]).split("train")[0]
