"""A model over a split: measured as its predictions are read, image by image, broken ones listed."""

import numpy as np
import pytest
import torch
from small_models import SmallModel
from test_top_down_pose import Brightest, image_with_spots

from backbonekit.assembly.evaluate import evaluate
from backbonekit.assembly.measuring import readings_of
from backbonekit.errors import ContractError, RecipeError, StorageError


class Halves:
    """A split of images whose right part is bright, from a column of its own each; `broken` ones cannot be read."""

    def __init__(self, keys: tuple[str, ...], *, count: int = 5, broken: tuple[int, ...] = ()) -> None:
        self.keys, self.count, self.broken = keys, count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        if index in self.broken:
            raise StorageError(f"{self.name(index)}: is no image.")
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, 16 + 8 * (index % 3) :] = 255
        bright = torch.from_numpy(pixels[..., 0] > 0)
        columns = bright[0].nonzero()
        box = torch.tensor([[float(columns[0]), 0.0, 64.0, 48.0]])
        every = {
            "segmentation": bright.long(),
            "masks": bright[None],
            "labels": torch.tensor([1]),
            "boxes": box,
            "depth": bright * 20.0 + 1,
            "class": torch.tensor(1),
        }
        return pixels, {key: every[key] for key in self.keys}

    def name(self, index: int) -> str:
        return f"{index}.png"

    def image_id(self, index: int) -> int:
        return index


def test_a_right_model_scores_one_and_broken_images_are_listed():
    seen = []
    found = evaluate(
        SmallModel("dense"),
        Halves(("segmentation",), broken=(1, 3)),
        batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert found.scores.main == ("mIoU", pytest.approx(1.0))
    assert found.scores.num_images == 3
    assert found.failed == ("1.png: is no image.", "3.png: is no image.")
    assert seen == [(3, 5), (5, 5)]
    assert [name for name, _, _ in found.scores.per_class[0].rows] == ["dark", "bright"]


def test_masks_are_read_as_what_the_targets_have_unless_a_task_says_so():
    model = SmallModel("masks")  # things and stuff: panoptic, whose ground truth is masks and labels
    assert readings_of(model) == {"": "panoptic"}
    assert readings_of(model, keys=("masks", "labels")) == {"": "panoptic"}
    assert readings_of(model, keys=("segmentation",)) == {"": "semantic"}
    assert readings_of(model, task="instance", keys=("segmentation",)) == {"": "instance"}
    assert evaluate(model, Halves(("segmentation",))).scores.main == ("mIoU", pytest.approx(1.0))
    assert evaluate(model, Halves(("masks", "labels")), task="instance").scores.main == ("mask_AP", pytest.approx(1.0))


def test_low_scores_count():
    """`predict` shows none of the boxes of this model: its score is below 0.5."""
    model = SmallModel("boxes")
    with torch.no_grad():
        for head in model.heads:
            head.forward = _weak(head.forward)
    assert model.heads[0](torch.zeros(1, 3, 32, 32)).class_logits.sigmoid().max() < 0.5

    class Centres(Halves):
        def __getitem__(self, index: int):
            pixels, target = super().__getitem__(index)
            return pixels, {**target, "boxes": torch.tensor([[16.0, 12.0, 48.0, 36.0]])}

    found = evaluate(model, Centres(("boxes", "labels")))
    assert found.scores.main == ("box_AP", pytest.approx(1.0))


def _weak(forward):
    def weaker(pixel_values):
        prediction = forward(pixel_values)
        prediction.class_logits = prediction.class_logits - 11  # 9 -> -2, a score of 0.12
        return prediction

    return weaker


def test_several_tasks_and_one_of_them():
    model = SmallModel({"pixels": "dense", "scene": "classes"}, labels=None)
    split = Halves(("segmentation", "class"))
    assert readings_of(model) == {"pixels": "semantic", "scene": "classification"}
    both = evaluate(model, split).scores
    assert both.main == ("pixels/mIoU", pytest.approx(1.0))
    assert both.summary["scene/accuracy"] == 1
    assert evaluate(model, split, task="scene").scores.main[0] == "scene/accuracy"
    assert evaluate(model, split, task="semantic").scores.main[0] == "pixels/mIoU"


def test_what_cannot_be_measured_is_told():
    with pytest.raises(RecipeError, match="task='panoptik': this model has no such task; did you mean 'panoptic'"):
        evaluate(SmallModel("masks"), Halves(("masks", "labels")), task="panoptik")
    with pytest.raises(RecipeError, match="predicts nothing that can be measured"):
        evaluate(SmallModel(None), Halves(("masks", "labels")))
    with pytest.raises(ContractError, match="no target has segmentation"):
        evaluate(SmallModel("dense"), Halves(("boxes",)))
    with pytest.raises(StorageError, match=r"none of the 2 images can be read:\n0\.png"):
        evaluate(SmallModel("dense"), Halves(("boxes",), count=2, broken=(0, 1)))
    with pytest.raises(RecipeError, match="at least 1 image"):
        evaluate(SmallModel("dense"), Halves(("boxes",)), batch_size=0)


def test_a_target_that_does_not_go_with_its_image_is_named():
    class Small(Halves):
        def __getitem__(self, index: int):
            pixels, target = super().__getitem__(index)
            return pixels, {"segmentation": target["segmentation"][: 48 - index]}

    with pytest.raises(ContractError, match=r"1\.png: image 1: the result has 48 x 64 pixels"):
        evaluate(SmallModel("dense"), Small(("segmentation",)))


def test_persons_are_cut_out_by_their_boxes():
    class People(Halves):
        def __getitem__(self, index: int):
            spots = [(40.0, 60.0), (110.3, 41.8)]
            boxes = torch.tensor([[20.0, 30, 60, 95], [0, 0, 160, 120], [95, 30, 120, 60]])
            points = torch.tensor([[[*spots[0], 2.0]], [[0.0, 0.0, 0.0]], [[*spots[1], 2.0]]])
            labels = torch.zeros(3, dtype=torch.int64)
            target = {"boxes": boxes, "keypoints": points, "iscrowd": torch.tensor([0, 1, 0]), "labels": labels}
            return image_with_spots(*spots), target

    scores = evaluate(Brightest(), People(())).scores
    assert scores.main == ("keypoint_AP", pytest.approx(1.0))
    assert [values[1] for _, _, values in scores.per_class[0].rows] == [10]  # two people on five images
