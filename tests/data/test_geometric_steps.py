"""Crops and scales move an image and everything of its target together.

The image shows its own target: pixels of the object are bright, so that masks and boxes are read off the image.
"""

import pytest
import torch

from backbonekit.data import open_augmentation
from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.sample import Sample
from backbonekit.errors import ContractError
from backbonekit.weights.private_random import seeded

SEEDS = range(8)


def sample_of(boxes, size=(40, 60), **extra):
    """Bright rectangles with their masks, a segmentation, a depth map and a keypoint in the middle of each."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    shown = masks.any(dim=0)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    target = {
        "labels": torch.arange(len(boxes)),
        "boxes": corners,
        "masks": masks,
        "segmentation": shown.long(),
        "depth": shown + 1.0,
        "keypoints": torch.cat([centres, torch.full((len(boxes), 1), 2.0)], dim=1)[:, None],
        **extra,
    }
    return Sample((shown * 255).to(torch.uint8).expand(3, -1, -1).clone(), target)


def run(name, sample, seed=0, other=None, **options):
    (step,) = open_augmentation([{"name": name, **options}])
    with seeded(seed):
        return step(sample, other or (lambda: sample))


def check(sample):
    """Everything has the size of the image and says the same."""
    target, size = sample.target, sample.size
    for key in ("masks", "segmentation", "depth"):
        assert tuple(target[key].shape[-2:]) == size, key
    counts = {len(target[key]) for key in ("labels", "boxes", "masks", "keypoints")}
    assert len(counts) == 1
    bright = sample.image[0] > 190
    for box, mask, (point,) in zip(target["boxes"], target["masks"], target["keypoints"], strict=True):
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        around = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (box - around).abs().max() <= 1.5
        assert (bright & mask).sum() >= 0.6 * mask.sum()
        assert (box[:2] >= 0).all()
        assert (box[2:] <= torch.tensor([size[1], size[0]])).all()
        if point[2]:
            assert (point[:2] >= box[:2] - 1.5).all()
            assert (point[:2] <= box[2:] + 1.5).all()
    return sample


BOXES = [(5, 4, 25, 16), (30, 20, 58, 38)]
STEPS = [
    ("multi_scale", {"shortest_edges": [30, 80], "longest_edge": 100}),
    ("scale_jitter", {"size": [50, 50], "smallest": 0.5, "largest": 2.0}),
    ("random_crop", {"size": [32, 70]}),
    ("random_resized_crop", {"size": [30, 30]}),
    ("random_resized_crop", {}),
    ("random_size_crop", {"probability": 1, "shortest_edges": [36, 60], "smallest": 20, "largest": 50}),
    ("iou_crop", {"probability": 1}),
    ("zoom_out", {"probability": 1}),
    ("person_crop", {"size": [64, 48]}),
    ("horizontal_flip", {"keypoint_pairs": []}),
    ("vertical_flip", {}),
]


@pytest.mark.parametrize(("name", "options"), STEPS)
def test_image_and_target_move_together(name, options):
    seen = [check(run(name, sample_of(BOXES), seed, **options)) for seed in SEEDS]
    assert len({(one.size, float(one.target["boxes"].sum())) for one in seen}) > 1  # it is random
    assert any(len(one.target["boxes"]) for one in seen)


@pytest.mark.parametrize(("name", "options"), [step for step in STEPS if step[0] != "person_crop"])
def test_an_image_without_objects(name, options):
    found = run(name, sample_of([]), 1, **options)
    assert found.target["boxes"].shape == (0, 4)
    assert found.target["masks"].shape == (0, *found.size)


def test_a_window_cuts_surrounds_and_drops():
    sample = sample_of(BOXES, area=torch.ones(2), iscrowd=torch.zeros(2))
    cut = window(sample, (20, 70), offset=(-2, 10))
    assert cut.target["labels"].tolist() == [0]  # nothing of the second one is left
    assert cut.target["boxes"].tolist() == [[0, 6, 15, 18]]
    assert cut.target["masks"].sum() == 180
    assert cut.target["keypoints"][0, 0].tolist() == [5, 12, 2]
    assert (cut.target["segmentation"][:2] == 255).all()
    assert (cut.target["segmentation"][:, 50:] == 255).all()
    assert cut.target["depth"][:2].isnan().all()
    assert cut.image[:, 0, 0].tolist() == [124, 116, 104]  # ImageNet's mean colour
    assert "area" not in cut.target
    assert "iscrowd" not in cut.target
    hidden = window(sample, (10, 30), offset=(13, 20)).target
    assert hidden["keypoints"][0, 0, 2] == 0  # its centre is outside


def test_a_box_that_is_cut_is_the_one_around_its_mask():
    sample = sample_of([(5, 4, 25, 16)])
    sample.target["masks"][0, :12, :15] = False  # an L
    cut = window(sample, (10, 60))
    assert cut.target["boxes"].tolist() == [[15, 4, 25, 10]]
    assert window(sample, (40, 60)).target["boxes"].tolist() == [[5, 4, 25, 16]]


def test_scales_and_sizes():
    sizes = {run("multi_scale", sample_of(BOXES), seed, shortest_edges=[20, 30]).size for seed in SEEDS}
    assert sizes == {(20, 30), (30, 45)}
    assert run("multi_scale", sample_of(BOXES), shortest_edges=[80], longest_edge=90).size == (60, 90)
    small = run("scale_jitter", sample_of(BOXES), size=[60, 60], smallest=0.5, largest=0.5)
    assert small.size == (60, 60)
    assert (small.target["segmentation"][20:] == 255).all()  # 40 x 60 at half the size that fits is 20 x 30
    assert (small.target["segmentation"][:20, :30] != 255).all()
    assert run("random_resized_crop", sample_of(BOXES), size=[7, 9]).size == (7, 9)


def test_a_crop_of_one_class_alone_is_drawn_again():
    sample = sample_of([(0, 0, 30, 40)])
    options = {"size": [40, 20]}

    def of_one_class(**more):
        found = [run("random_crop", sample, seed, **options, **more).target["segmentation"] for seed in range(30)]
        return sum(len(one.unique()) == 1 for one in found)

    assert of_one_class(largest_share=0.9) < of_one_class()


def test_an_iou_crop_keeps_objects_whose_centre_is_inside():
    for seed in SEEDS:
        found = run("iou_crop", sample_of(BOXES), seed, probability=1)
        assert (found.target["keypoints"][..., 2] == 2).all()  # the keypoint is the centre


def test_a_person_is_in_the_middle_of_the_crop():
    for seed in SEEDS:
        found = run("person_crop", sample_of(BOXES), seed, size=[64, 48], smallest=1.0, largest=1.0)
        assert found.size == (64, 48)
        assert len(found.target["boxes"]) == 1
        centre = found.target["keypoints"][0, 0, :2]
        assert (centre - torch.tensor([24, 32])).abs().max() < 2
    nobody = sample_of([])
    assert len(run("person_crop", nobody, other=lambda: sample_of(BOXES), size=[64, 48]).target["boxes"]) == 1
    with pytest.raises(ContractError, match="none of 20 images drawn at random has a person"):
        run("person_crop", nobody)


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_bands_move_too(channels):
    image = torch.full((channels, 40, 60), 30_000, dtype=torch.int32)
    sample = Sample(image, {"segmentation": torch.zeros(40, 60, dtype=torch.int64)})
    for name, options in STEPS[:8]:
        found = run(name, sample, 3, **options)
        assert found.image.dtype == torch.int32
        assert found.image.unique().tolist() == [30_000]  # the border has the image's own mean
