"""Images of other channels and units, from the recipe to the prediction and back from a saved folder."""

import numpy as np
import pytest

import backbonekit as bk
from backbonekit.contract.processing import IMAGENET_MEAN, IMAGENET_STD
from backbonekit.errors import ContractError, RecipeError
from tests.assembly.recipes import RESNET

SIZE = (40, 56)
generator = np.random.default_rng(0)


def built(channels: int = 3, **processing) -> bk.ComposedModel:
    head = {"name": "linear_probe", "num_classes": 3}
    backbone = {**RESNET, "in_channels": channels}
    return bk.build_model({"backbone": backbone, "head": head, "processing": {"size": [64, 64], **processing}})


def test_the_backbones_statistics_are_converted_to_the_range() -> None:
    processing = built(range=[-50, 150]).processor.processing
    np.testing.assert_allclose(processing.mean, [-50 + 200 * mean for mean in IMAGENET_MEAN])
    np.testing.assert_allclose(processing.std, [200 * std for std in IMAGENET_STD])
    eight, units = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8), built(range=[0, 255])
    np.testing.assert_allclose(
        units.processor(eight)["pixel_values"], built().processor(eight)["pixel_values"], atol=1e-5
    )


def test_one_number_counts_for_every_channel() -> None:
    processing = built(6, range=[0, 10_000], mean=[2734], std=[1500]).processor.processing
    assert (processing.mean, processing.std) == ((2734.0,) * 6, (1500.0,) * 6)


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 13])
def test_many_bands_are_predicted_saved_and_drawn(channels, tmp_path) -> None:
    model = built(channels, range=[-30, 10], mean=[-17], std=[5])
    image = generator.uniform(-30, 10, (*SIZE, channels)).astype(np.float32)
    np.save(tmp_path / "scene.npy", image)
    results = model.predict([image, tmp_path / "scene.npy"])
    assert np.array_equal(results[0].segmentation, results[1].segmentation)
    opened = bk.load_model(model.save_pretrained(tmp_path / "saved"))
    assert opened.processor.processing == model.processor.processing
    assert np.array_equal(opened.predict(image)[0].segmentation, results[0].segmentation)
    bands = [channels - 1] if channels < 3 else [channels - 1, 0, 1]
    assert bk.draw(tmp_path / "scene.npy", results[0], bands=bands).size == (SIZE[1], SIZE[0])
    with pytest.raises(ContractError, match=f"takes {channels} channels, and this image has 5"):
        model.predict(np.zeros((*SIZE, 5), np.float32))


def test_statistics_of_colours_never_stand_for_bands() -> None:
    model = built(6)
    assert len(set(model.processor.processing.mean)) == 1
    assert any("mean and std of the 6 channels are the average" in note for note in model.weight_report.notes)
    assert not any("average" in note for note in built(3).weight_report.notes)
    with pytest.raises(RecipeError, match=r"processing\.mean has 3 values for 6 channels"):
        built(6, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])
    with pytest.raises(RecipeError, match=r"those of an image in \[0, 1\]"):
        built(range=[0, 10_000], mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])
