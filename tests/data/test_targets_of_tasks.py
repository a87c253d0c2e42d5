"""Targets of one task alone ("TASK.KEY") are augmented with those of all tasks."""

import numpy as np
import pytest
import torch

import backbonekit as bk
from backbonekit.data import AugmentedSplit, GivenData, open_augmentation
from backbonekit.errors import StorageError

SIZE = (40, 60)


def target() -> dict:
    """Two segmentations that say the same, one with other numbers, and two lists of objects."""
    segmentation = torch.arange(SIZE[1]).div(10, rounding_mode="floor").expand(SIZE).clone()
    return {
        "segmentation": segmentation,
        "surface.segmentation": segmentation + 10,
        "depth": segmentation.float() + 1,
        "surface.depth": segmentation.float() + 11,
        "boxes": torch.tensor([[5.0, 5, 15, 15]]),
        "labels": torch.tensor([1]),
        "small.boxes": torch.tensor([[5.0, 5, 15, 15], [40, 20, 59, 39]]),
        "small.labels": torch.tensor([2, 3]),
    }


def augmented(steps, given=None, **options) -> dict:
    image = np.zeros((*SIZE, 3), np.uint8)
    split = GivenData(train=[(image, target() if given is None else given)] * 4).split("train")
    return AugmentedSplit(split, open_augmentation(steps), seed=3, **options)[0][1]


@pytest.mark.parametrize(
    "step",
    [
        {"name": "horizontal_flip", "probability": 1.0},
        {"name": "vertical_flip", "probability": 1.0},
        {"name": "random_crop", "size": [30, 30]},
        {"name": "random_resized_crop", "size": [32, 32]},
        {"name": "scale_jitter", "size": [64, 64]},
        {"name": "zoom_out", "probability": 1.0},
        "colour_jitter",
    ],
)
def test_both_move_together(step):
    found = augmented([step], task_ignore_labels={"surface": 99})
    assert set(found) - {"image_id"} == set(target())
    shared, own = found["segmentation"], found["surface.segmentation"]
    is_known = shared != 255
    assert torch.equal(own[is_known], shared[is_known] + 10)
    assert (own[~is_known] == 99).all()
    depth = found["depth"]
    assert torch.equal(found["surface.depth"][depth.isfinite()], depth[depth.isfinite()] + 10)
    assert len(found["small.boxes"]) == len(found["small.labels"])
    if len(found["boxes"]) and 2 in found["small.labels"]:
        assert torch.equal(found["small.boxes"][found["small.labels"] == 2], found["boxes"])


def test_a_crop_leaves_an_object_out_of_its_own_task_alone():
    given = {"boxes": torch.tensor([[1.0, 1, 59, 39]]), "labels": torch.tensor([0])}
    own = {"small.boxes": torch.tensor([[0.0, 0, 3, 3]]), "small.labels": torch.tensor([1])}
    counts = {
        (len(found["labels"]), len(found["small.labels"]))
        for seed in range(8)
        for found in [
            AugmentedSplit(
                GivenData(train=[(np.zeros((*SIZE, 3), np.uint8), {**given, **own})]).split("train"),
                open_augmentation([{"name": "random_crop", "size": [10, 10]}]),
                seed=seed,
            )[0][1]
        ]
    }
    assert (1, 0) in counts


def test_what_cannot_be_kept_together_is_refused():
    with pytest.raises(StorageError, match=r"the target has surface.segmentation. Leave the step out"):
        augmented(["mosaic"], {"surface.segmentation": target()["segmentation"]})
    alone = {"boxes": torch.zeros(1, 4), "labels": torch.zeros(1), "small.boxes": torch.tensor([[0.0, 0, 9, 9]])}
    with pytest.raises(StorageError, match=r"The fix: small.labels too"):
        augmented(["horizontal_flip"], alone)
    with pytest.raises(StorageError, match=r"'surface.segmantation' is not read"):
        augmented(["horizontal_flip"], {"surface.segmantation": target()["segmentation"]})


def test_a_model_of_two_tasks_learns_from_them():
    tasks = {
        "parts": {"head": {"name": "fcn"}, "labels": ["road", "car"]},
        "surface": {"head": {"name": "fcn"}, "labels": ["solid", "soft"], "processing": {"ignore_label": 9}},
    }
    model = bk.build_model({"backbone": "timm/test_resnet", "heads": tasks})
    labels = {task: model.processor.ignore_label_of(task) for task in model.processor.tasks}
    left = torch.zeros(SIZE, dtype=torch.int64)
    left[:, :30] = 1
    steps = [{"name": "horizontal_flip", "probability": 1.0}, {"name": "zoom_out", "probability": 1.0}]
    found = augmented(steps, {"segmentation": left, "surface.segmentation": 1 - left}, task_ignore_labels=labels)
    image = np.zeros((*found["segmentation"].shape, 3), np.uint8)
    (read,) = model.processor([image], [found])["targets"]
    assert set(read["surface.segmentation"].unique().tolist()) == {0, 1, 9}
    assert set(read["segmentation"].unique().tolist()) == {0, 1, 255}
    assert (read["surface.segmentation"] == 9).sum() == (read["segmentation"] == 255).sum()
