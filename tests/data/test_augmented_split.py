"""Augmented samples depend on seed, epoch and index alone; images come back as the kind that they were."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from backbonekit.data import AugmentedSplit, GivenData, open_augmentation
from backbonekit.data.augmentation.sample import drawn_index
from backbonekit.errors import StorageError


class Noise:
    """A step that returns what it drew."""

    sets_size = False

    def __call__(self, sample, other):
        other()
        return sample.with_target(boxes=torch.rand(1, 4), labels=torch.tensor([drawn_index(1000)]))


def images(count=6, size=(20, 30)):
    pixels = np.random.default_rng(0).integers(0, 255, (count, *size, 3), dtype=np.uint8)
    target = {"boxes": torch.tensor([[5.0, 4, 15, 10]]), "labels": torch.tensor([1])}
    return [(Image.fromarray(one), dict(target)) for one in pixels]


def split(pairs=None, **options):
    return AugmentedSplit(GivenData(train=pairs or images()).split("train"), [Noise()], **{"seed": 0, **options})


def drawn(sample):
    return sample[1]["boxes"].flatten().tolist() + sample[1]["labels"].tolist()


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    first, again = split(), split()
    in_order = [drawn(first[index]) for index in range(6)]
    assert [drawn(again[index]) for index in reversed(range(6))] == in_order[::-1]
    assert len({tuple(one) for one in in_order}) == 6
    again.set_epoch(1)
    assert drawn(again[0]) not in in_order
    again.set_epoch(0)
    assert drawn(again[0]) == in_order[0]
    assert drawn(split(seed=1)[0]) not in in_order


def test_the_random_state_of_the_program_stays():
    augmented = split()
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    augmented[0]
    assert (torch.rand(1), np.random.rand()) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing_and_hear_of_the_epoch(workers):
    augmented = split()
    loader = DataLoader(
        augmented,
        batch_size=2,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=list,
        multiprocessing_context="fork" if workers else None,
    )
    for epoch in (0, 1):
        augmented.set_epoch(epoch)
        seen = [sample for batch in loader for sample in batch]
        assert [index for _, _, index in seen] == list(range(6))
        assert [drawn(sample) for sample in seen] == [drawn(augmented[index]) for index in range(6)]


def test_without_steps_samples_are_those_of_the_split():
    pairs = images()
    image, target, index = AugmentedSplit(GivenData(train=pairs).split("train"), [], seed=0)[2]
    assert image is pairs[2][0]
    assert (target["image_id"], index) == (2, 2)
    assert (split().name(1), split().image_id(1), len(split())) == ("train[1]", 1, 6)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (30, 20), (1, 2, 3)),
        Image.new("L", (30, 20), 7),
        Image.new("RGBA", (30, 20), (1, 2, 3, 4)),
        Image.fromarray(np.full((20, 30), 60_000, dtype=np.uint16)),
        np.full((20, 30, 5), 60_000, dtype=np.uint16),
        np.full((20, 30, 2), -3, dtype=np.int16),
        np.full((20, 30), 0.25, dtype=np.float32),
        torch.full((4, 20, 30), 0.5),
    ],
    ids=["rgb", "grey", "rgba", "16 bits", "bands", "signed", "floats", "tensor"],
)
def test_an_image_stays_of_its_kind(image):
    steps = open_augmentation([{"name": "horizontal_flip", "probability": 1}])
    target = {"segmentation": torch.zeros(20, 30, dtype=torch.int64)}
    found, _, _ = AugmentedSplit(GivenData(train=[(image, target)]).split("train"), steps, seed=0)[0]
    pixels, expected = np.asarray(found), np.asarray(image)
    assert pixels.shape == expected.shape
    assert (pixels.dtype.kind, pixels.itemsize) == (expected.dtype.kind, expected.itemsize)
    assert np.array_equal(pixels, expected)
    if isinstance(image, Image.Image) and image.mode in ("L", "RGB", "RGBA"):
        assert found.mode == image.mode


def test_palette_images_become_colours_and_turned_ones_upright():
    palette = Image.new("P", (30, 20), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    turned = Image.new("RGB", (20, 30))
    turned.getexif()[0x0112] = 6  # orientation: to be turned by 90 degrees
    pairs = [(palette, {}), (turned, {"segmentation": np.zeros((20, 30), np.uint8)})]
    steps = open_augmentation(["horizontal_flip"])
    augmented = AugmentedSplit(GivenData(train=pairs).split("train"), steps, seed=0)
    assert augmented[0][0].getpixel((0, 0)) == (9, 8, 7)
    assert augmented[1][0].size == (30, 20)


def test_a_wrong_target_is_named_with_its_image():
    wrong = {"boxes": [[15, 4, 5, 10]], "labels": [1]}
    with pytest.raises(StorageError, match=r"train\[0\]: targets\[0\]: boxes\[0\] is .*x0 <= x1"):
        split([(images(1)[0][0], wrong)])[0]


def test_crowds_leave_the_target():
    target = {**images(1)[0][1], "iscrowd": torch.tensor([True])}
    steps = open_augmentation([{"name": "vertical_flip", "probability": 0}])
    pairs = [(images(1)[0][0], target)]
    assert AugmentedSplit(GivenData(train=pairs).split("train"), steps, seed=0)[0][1]["labels"].shape == (0,)
