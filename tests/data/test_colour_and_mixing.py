"""Colours change and targets stay; several images become one with the objects of all."""

import pytest
import torch

from backbonekit.data.augmentation.sample import Sample
from backbonekit.errors import ContractError
from tests.data.test_geometric_steps import BOXES, SEEDS, check, run, sample_of


def objects_of(boxes, size=(40, 60), value=255):
    """As `sample_of`, with the keys of objects alone, and the brightness `value`."""
    sample = sample_of(boxes, size)
    target = {key: sample.target[key] for key in ("labels", "boxes", "masks")}
    return Sample((sample.image * (value / 255)).to(torch.uint8), target)


def coloured(dtype=torch.uint8, channels=3):
    image = torch.arange(40 * 60).reshape(1, 40, 60).expand(channels, -1, -1) % 200
    image = image + torch.arange(channels)[:, None, None] * 20
    return Sample((image / 255) if dtype == torch.float32 else image.to(dtype), {"class": torch.tensor(3)})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_within_their_range(dtype, channels):
    sample = coloured(dtype, channels)
    for seed in SEEDS:
        found = run("colour_jitter", sample, seed, probability=1, permute_channels=1)
        assert found.image.dtype == dtype
        assert found.image.shape == sample.image.shape
        assert not torch.equal(found.image, sample.image)
        assert found.target is sample.target
    assert torch.equal(run("colour_jitter", sample, probability=0).image, sample.image)
    none = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    assert (run("colour_jitter", sample, probability=1, **none).image - sample.image).abs().max() <= 1


def test_bands_have_no_colours():
    with pytest.raises(ContractError, match=r"colour_jitter .* this image has 5 of type int32. Leave the step out"):
        run("colour_jitter", coloured(torch.int32, 5))


def test_a_rectangle_is_erased_in_the_image_alone():
    for seed in SEEDS:
        sample = coloured()
        found = run("random_erasing", sample, seed, probability=1)
        erased = (found.image == torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None, None]).all(dim=0)
        assert 0.01 < erased.float().mean() < 0.4
        assert torch.equal(found.image[:, ~erased], sample.image[:, ~erased])
        assert found.target is sample.target


def test_mosaic_has_the_objects_of_four_images():
    parts = [sample_of(BOXES), sample_of([(0, 0, 60, 40)], extra=None), sample_of([]), sample_of([(50, 0, 60, 10)])]
    for part in parts:
        part.target.pop("extra", None)
    for seed in SEEDS:
        others = iter(parts[1:])
        found = check(run("mosaic", parts[0], seed, lambda others=others: next(others), probability=1, size=[80, 100]))
        assert found.size == (80, 100)
        assert 0 < len(found.target["boxes"]) <= 4
    alone = check(run("mosaic", parts[0], probability=0, size=[80, 100]))
    assert alone.size == (80, 100)
    assert len(alone.target["boxes"]) == 2


def test_mixup_has_the_objects_of_both_images():
    second = objects_of([(0, 0, 30, 20)], (20, 30), value=100)
    found = run("mixup", objects_of(BOXES), 2, lambda: second, probability=1)
    assert found.target["boxes"].tolist() == [*map(list, BOXES), [0, 0, 60, 40]]  # 20 x 30 becomes 40 x 60
    assert found.target["masks"].sum(dim=(1, 2)).tolist() == [240, 504, 2400]
    bright, dark = found.image[0, 5, 10], found.image[0, 0, 0]
    assert 100 < bright < 255
    assert 0 < dark < 100
    assert torch.equal(run("mixup", objects_of(BOXES), probability=0).image, objects_of(BOXES).image)


def test_pasted_objects_cover_what_is_below():
    below = objects_of([(0, 0, 30, 40), (40, 0, 60, 40)], value=100)
    above = objects_of([(20, 0, 60, 40)])
    options = {"probability": 1, "share": 1, "smallest": 1, "largest": 1}
    found = run("copy_paste", below, 0, lambda: above, **options)
    assert found.target["boxes"].tolist() == [[0, 0, 20, 40], [20, 0, 60, 40]]  # the second one is covered
    assert found.target["labels"].tolist() == [0, 0]
    assert not (found.target["masks"][0] & found.target["masks"][1]).any()
    assert found.image[0, :, :20].unique().tolist() == [100]
    assert found.image[0, :, 20:].unique().tolist() == [255]
    none = run("copy_paste", below, 0, lambda: above, **{**options, "share": 0})
    assert torch.equal(none.image, below.image)
    assert none.target["boxes"].tolist() == below.target["boxes"].tolist()


@pytest.mark.parametrize("name", ["mosaic", "mixup", "copy_paste"])
def test_what_cannot_be_mixed_is_refused(name):
    with pytest.raises(ContractError, match=f"{name} mixes images with objects, and the target has class"):
        run(name, coloured(), probability=1)


def test_images_of_other_kinds_are_not_mixed():
    grey = Sample(objects_of(BOXES).image[:1], objects_of(BOXES).target)
    with pytest.raises(ContractError, match="images of 1 channels of uint8 and 3 channels of uint8"):
        run("mixup", objects_of(BOXES), 0, lambda: grey, probability=1)
    without = Sample(objects_of(BOXES).image, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()})
    with pytest.raises(ContractError, match="the targets have none"):
        run("copy_paste", without, probability=1)
