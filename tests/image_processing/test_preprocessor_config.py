"""How images are prepared: transformers' file to `Processing` and back, compared with what transformers does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbonekit.contract.processing import Processing
from backbonekit.errors import StorageError
from backbonekit.image_processing.preprocessor_config import read_processing, write_processing
from backbonekit.image_processing.preprocessor_types import PREPROCESSOR_TYPES
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.image_processing.resize import resized_size

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"image_processor_type": "ViTFeatureExtractor", "size": 384},
            Processing(size=(384, 384), mean=HALF, std=HALF),
        ),
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "size": [320, 240]},
            Processing(size=(240, 320), mean=HALF, std=HALF),
        ),
        (
            {
                "feature_extractor_type": "MaskFormerFeatureExtractor",
                "size": 640,
                "max_size": 2560,
                "size_divisibility": 32,
            },
            Processing(shortest_edge=640, longest_edge=2560, size_divisor=32),
        ),
        (
            {
                "image_processor_type": "MaskFormerImageProcessor",
                "size_divisor": 0,
                "size": {"max_height": 9, "max_width": 9},
            },
            Processing(max_size=(9, 9)),
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3},
            Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic", mean=HALF, std=HALF),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "resample": 2},
            Processing(size=(384, 384), mean=HALF, std=HALF),
        ),
        (
            {
                "image_processor_type": "DetrImageProcessorFast",
                "size": {"shortest_edge": 8, "longest_edge": 9},
                "crop_size": None,
            },
            Processing(shortest_edge=8, longest_edge=9),
        ),
        (
            {"image_processor_type": "DetrImageProcessor", "pad_size": {"height": 90, "width": 80}},
            Processing(shortest_edge=800, longest_edge=1333, canvas=(90, 80)),
        ),
        (
            {"size": {"height": 5, "width": 7}, "do_rescale": False, "image_mean": 127.5, "image_std": 127.5},
            Processing(size=(5, 7), mean=(0.5,) * 3, std=(0.5,) * 3),
        ),
        ({"do_resize": False, "do_normalize": False}, Processing(mean=(0.0,) * 3, std=(1.0,) * 3)),
        (
            {"do_resize": False, "image_mean": [0.1] * 4, "image_std": [0.2] * 4},
            Processing(mean=(0.1,) * 4, std=(0.2,) * 4),
        ),
        (
            {
                "image_processor_type": "DPTImageProcessor",
                "size": {"height": 385, "width": 384},
                "ensure_multiple_of": 14,
            },
            Processing(size=(392, 378), interpolation="bicubic", mean=HALF, std=HALF),
        ),
        (
            {
                "image_processor_type": "DPTImageProcessor",
                "size": {"height": 518, "width": 518},
                "ensure_multiple_of": 14,
                "keep_aspect_ratio": True,
                "do_pad": False,
                "size_divisor": 32,
            },
            Processing(
                size=(518, 518),
                keep_aspect_ratio=True,
                multiple_of=14,
                interpolation="bicubic",
                mean=HALF,
                std=HALF,
            ),
        ),
        (
            {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": False, "crop_size": 192},
            Processing(shortest_edge=224, crop=(192, 192), interpolation="bicubic", mean=(0.0,) * 3, std=(1.0,) * 3),
        ),
    ],
)
def test_spellings_of_all_versions(fields: dict[str, Any], expected: Processing):
    assert read_processing(fields) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"image_processor_type": "VitImageProcessor"},
            r"'VitImageProcessor', which is unknown; did you mean 'ViT'\?",
        ),
        ({"image_processor_type": ["x"]}, "which is unknown"),
        ({"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}, "blue, green, red"),
        ({"image_processor_type": "DPTImageProcessor", "do_pad": True, "size_divisor": 14}, "on all four sides"),
        ({"size": {"shortest_edge": 8}, "keep_aspect_ratio": True}, "a size has height and width"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "blue, green, red"),
        ({"image_processor_type": "ZoeDepthImageProcessor"}, "a reflection of its border.*without this file"),
        ({"image_processor_type": "VitMatteImageProcessorFast"}, "trimap"),
        ({"size": 224, "do_split_image": True}, "into pieces"),
        ({}, "does not say the size"),
        ({"size": -1}, "has size -1; a whole number from 1 to 16,384"),
        ({"size": {"height": 10**9, "width": 1}}, "has size.height 1000000000"),
        ({"size": 10**5_000}, "has size a whole number of about 5,000 digits; a whole number from 1"),
        ({"size": 8, "resample": []}, r"resizes by method \[\]"),
        ({"size": 8, "rescale_factor": 10**400}, "rescale_factor a whole number of about 400 digits"),
        ({"size": 8, "image_mean": [10**5_000] * 3}, "has image_mean .*digits"),
        ({"size": {"height": 1}}, r"has the size \{'height': 1\}"),
        ({"size": 8, "do_center_crop": True}, r"of which size \(crop_size\)"),
        ({"size": 8, "do_center_crop": "yes"}, "has do_center_crop 'yes'; true or false"),
        ({"size": 8, "resample": 5}, "resizes by method 5"),
        ({"size": 8, "resample": True}, "resizes by method true"),
        ({"size": 8, "image_mean": "abc"}, "has image_mean abc"),
        ({"size": 8, "value_range": [0]}, r"has value_range .0.; the lowest and the highest value"),
        ({"size": 8, "image_mean": [float("nan")]}, "has image_mean"),
        ({"size": 8, "image_mean": [0.5] * 2}, "2 numbers in image_mean and 3"),
        ({"size": 8, "image_std": [0.0] * 3}, "every number must be above 0"),
        ({"size": 8, "rescale_factor": 0}, "rescale_factor 0"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 2.0}, "crop_pct 2.0"),
    ],
)
def test_what_cannot_be_said_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(StorageError, match=message) as caught:
        read_processing(fields, shown="owner/name: preprocessor_config.json")
    assert str(caught.value).startswith("owner/name: preprocessor_config.json ")


PLAIN = Processing(mean=(0.1, 0.2, 0.30000000000000004), std=(0.4, 0.5, 0.6), interpolation="lanczos")
KINDS = [
    PLAIN,
    replace(PLAIN, size=(30, 40)),
    replace(PLAIN, size=(30, 40), crop=(20, 10), interpolation="nearest"),
    replace(PLAIN, size=(30, 40), size_divisor=8),
    replace(PLAIN, size=(30, 40), canvas=(64, 64)),
    replace(PLAIN, size=(30, 40), keep_aspect_ratio=True),
    replace(PLAIN, size=(30, 40), keep_aspect_ratio=True, multiple_of=7),
    replace(PLAIN, size=(30, 40), keep_aspect_ratio=True, multiple_of=7, canvas=(210, 140)),
    replace(PLAIN, shortest_edge=30),
    replace(PLAIN, shortest_edge=30, crop=(20, 24)),
    replace(PLAIN, shortest_edge=30, longest_edge=50),
    replace(PLAIN, shortest_edge=30, longest_edge=50, size_divisor=32),
    replace(PLAIN, shortest_edge=30, longest_edge=50, size_divisor=32, canvas=(64, 96)),
    replace(PLAIN, shortest_edge=30, longest_edge=50, crop=(5, 5)),
    replace(PLAIN, shortest_edge=30, size_divisor=16),
    replace(PLAIN, longest_edge=30),
    replace(PLAIN, max_size=(30, 50)),
    replace(PLAIN, max_size=(30, 50), size_divisor=8),
    replace(PLAIN, max_size=(30, 50), crop=(40, 20)),
    replace(PLAIN, max_size=(30, 50), crop=(40, 40), border="mean", rounding="nearest"),
    replace(PLAIN, shortest_edge=30, crop=(70, 20)),
    replace(PLAIN, shortest_edge=30, crop=(20, 24), rounding="nearest"),
    replace(PLAIN, size_divisor=16),
    replace(PLAIN, crop=(20, 20)),
    replace(PLAIN, canvas=(100, 100)),
    replace(PLAIN, mean=(0.5,), std=(0.25,), size=(8, 8)),
    replace(PLAIN, mean=(0.5,) * 5, std=(0.25,) * 5, size=(8, 8)),
    replace(PLAIN, range=(-50, 3071), mean=(-17.0, 2734.0, 0.0), std=(300.0, 0.5, 1e5), size=(8, 8)),
]


@pytest.mark.parametrize("processing", KINDS)
def test_a_round_trip(processing: Processing):
    fields = json.loads(json.dumps(write_processing(processing)))
    assert read_processing(fields) == processing


def image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 5 + columns * 3, rows * columns // 7, 255 - rows * 2 + columns * columns]
    return (np.stack(channels, axis=-1) % 256).astype(np.uint8)


def theirs(processor: Any, given: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(processor(given, return_tensors="np")["pixel_values"][0]), dtype=torch.float32)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(61, 83), (97, 50), (64, 64)])
# ViTPose's cuts persons out, which is compared where that is done.
@pytest.mark.parametrize("name", sorted(PREPROCESSOR_TYPES.keys() - {"VitPose"}))
def test_each_type_prepares_as_transformers_does(name: str, size: tuple[int, int]):
    """Of all defaults but the size, which is made small enough to be quick."""
    transformers = pytest.importorskip("transformers")
    cls = getattr(transformers, f"{name}ImageProcessorPil", None) or getattr(transformers, f"{name}ImageProcessor")
    kind = PREPROCESSOR_TYPES[name]
    assert kind.size is not None
    small = {key: value // 10 for key, value in kind.size.items()}
    side = None if kind.crop is None else kind.crop // 10
    crop = {} if side is None else {"crop_size": {"height": side, "width": side}}
    order = {"do_flip_channel_order": False} if kind.reverses_channels else {}
    processor = cls(size=small, **crop, **order)
    fields = json.loads(processor.to_json_string())
    # What the file says and what the class does where it is silent must come to the same.
    silent = {"size": small, **crop, **order, "image_processor_type": fields["image_processor_type"]}
    found = read_processing(fields)
    assert found == read_processing(silent)
    given = image(*size)
    expected = theirs(processor, given)
    ours = ImageProcessor(found)(given)["pixel_values"][0]
    assert ours.shape == expected.shape
    # The torchvision processors resample in another arithmetic than Pillow: two steps of 1/255, over the deviation.
    allowed = 1e-4 if cls.__name__.endswith("Pil") else 2.01 / 255 / min(found.std)
    assert (ours - expected).abs().max() <= allowed


@pytest.mark.parity
@pytest.mark.parametrize("multiple", [1, 14])
@pytest.mark.parametrize("size", [(61, 83), (97, 50), (64, 64), (20, 130), (300, 31)])
def test_the_least_change_is_that_of_transformers(size: tuple[int, int], multiple: int):
    transformers = pytest.importorskip("transformers")
    processor = transformers.DPTImageProcessorPil(
        size={"height": 70, "width": 98}, keep_aspect_ratio=True, ensure_multiple_of=multiple
    )
    given = image(*size)
    found = read_processing(json.loads(processor.to_json_string()))
    ours, expected = ImageProcessor(found)(given)["pixel_values"][0], theirs(processor, given)
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= 1e-4


@pytest.mark.parity
@pytest.mark.parametrize("processing", [kind for kind in KINDS if "image_processor_type" in write_processing(kind)])
def test_transformers_reads_what_we_write(processing: Processing, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    if len(processing.mean) != 3:
        processing = replace(processing, mean=(0.5,) * 3, std=(0.25,) * 3)
    fields = write_processing(processing)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    cls = getattr(transformers, fields["image_processor_type"] + "Pil")
    given = image(61, 83)
    expected = theirs(cls.from_pretrained(tmp_path), given)
    ours = ImageProcessor(processing)(given)["pixel_values"][0]
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= 1e-4


def test_most_kinds_have_a_type_of_transformers():
    written = [(kind, write_processing(kind)) for kind in KINDS]
    assert sum("image_processor_type" in fields for _, fields in written) >= 15
    assert not any("image_processor_type" in fields for kind, fields in written if kind.rounding == "nearest")


def test_edges_that_are_equal_are_the_longer_one():
    both = replace(PLAIN, shortest_edge=30, longest_edge=30)
    assert read_processing(write_processing(both)) == replace(PLAIN, longest_edge=30)
    for size in ((61, 83), (97, 50), (64, 64), (3, 999)):
        assert resized_size(size, both) == resized_size(size, replace(PLAIN, longest_edge=30))


@pytest.mark.parity
def test_the_longer_edge_is_written_so_that_transformers_makes_the_same_sizes(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    processing = replace(PLAIN, longest_edge=97, interpolation="nearest")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(write_processing(processing)))
    reference = transformers.MaskFormerImageProcessorPil.from_pretrained(tmp_path)
    for size in ((61, 83), (398, 241), (64, 64), (426, 640), (35, 211)):
        assert theirs(reference, image(*size)).shape[1:] == resized_size(size, processing)


@pytest.mark.parity
@pytest.mark.parametrize("most", [(480, 480), (384, 640), (97, 30)])
def test_the_largest_size_that_fits_is_that_of_transformers(most: tuple[int, int]):
    transformers = pytest.importorskip("transformers")
    size = {"max_height": most[0], "max_width": most[1]}
    processor = transformers.DetrImageProcessorPil(size=size, do_pad=False)
    found = read_processing(json.loads(processor.to_json_string()))
    assert found.max_size == most
    assert resized_size((426, 640), replace(found, max_size=(480, 480))) == (319, 480)
    given = image(53, 37)
    assert (ImageProcessor(found)(given)["pixel_values"][0] - theirs(processor, given)).abs().max() <= 1e-4
    from transformers.image_utils import get_image_size_for_max_height_width

    generator = np.random.default_rng(1)
    for height, width in generator.integers(1, 3000, (2_000, 2)).tolist():
        expected = get_image_size_for_max_height_width((height, width), *most)
        assert resized_size((height, width), found) == tuple(max(side, 1) for side in expected)


@pytest.mark.parity
@pytest.mark.parametrize("crop", [(40, 41), (32, 16), (15, 64), (90, 33)])
@pytest.mark.parametrize("size", [(100, 60), (31, 31), (33, 70)])
def test_a_crop_larger_than_the_image_has_the_border_of_transformers(size: tuple[int, int], crop: tuple[int, int]):
    transformers = pytest.importorskip("transformers")
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": 31}, crop_size={"height": crop[0], "width": crop[1]}
    )
    given = image(*size)
    batch = ImageProcessor(read_processing(json.loads(processor.to_json_string())))([given, given])
    assert batch["pixel_mask"] is None
    assert (batch["pixel_values"][1] - theirs(processor, given)).abs().max() <= 1e-4
