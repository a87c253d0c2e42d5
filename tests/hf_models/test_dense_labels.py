"""Segmentation maps become the labels that transformers' processors for dense models make of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.hf_models import AutoImageProcessor

KINDS = {
    "segformer": ("SegformerImageProcessorPil", {"size": {"height": 32, "width": 48}}),
    "mobilevit": (
        "MobileViTImageProcessorPil",
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_flip_channel_order": False},
    ),
    "beit": ("BeitImageProcessorPil", {"size": {"height": 32, "width": 48}}),
    "dpt": ("DPTImageProcessorPil", {"size": {"height": 32, "width": 48}}),
}
SIZES = [(33, 47), (64, 96), (100, 60)]


def samples(sizes=SIZES) -> tuple[list[np.ndarray], list[np.ndarray]]:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    maps = [generator.choice([0, 1, 4, 9, 150, 255], size=size).astype(np.uint8) for size in sizes]
    return images, maps


def reduced(labels: np.ndarray) -> np.ndarray:
    return np.where((labels == 0) | (labels == 255), 255, labels.astype(np.int64) - 1)


@pytest.mark.parity
@pytest.mark.parametrize("reduces", [False, True])
@pytest.mark.parametrize("folder", sorted(KINDS))
def test_labels_equal_those_of_transformers(folder, reduces, tmp_path: Path) -> None:
    module = pytest.importorskip(f"transformers.models.{folder}.image_processing_pil_{folder}")
    name, options = KINDS[folder]
    theirs = getattr(module, name)(**options, do_reduce_labels=reduces)
    theirs.save_pretrained(tmp_path)
    ours = AutoImageProcessor.from_pretrained(tmp_path)
    images, maps = samples()
    expected = theirs(images, segmentation_maps=[one.copy() for one in maps], return_tensors="pt")
    given = ours(images, segmentation_maps=maps)
    assert set(given) == set(expected) == {"pixel_values", "labels"}
    assert (given.pixel_values - expected["pixel_values"]).abs().max() < 1e-4
    assert given.labels.dtype == expected["labels"].dtype == torch.int64
    assert given.labels.shape == expected["labels"].shape
    if folder in ("segformer", "mobilevit"):
        assert torch.equal(given.labels, expected["labels"])
        return
    # Those of BEiT and DPT mix labels as if they were colours: classes that no map holds come out. Ours never do.
    known = {int(label) for one in maps for label in np.unique(reduced(one) if reduces else one)}
    assert not set(expected["labels"].unique().tolist()) <= known
    assert set(given.labels.unique().tolist()) <= known
    for labels, one in zip(given.labels, maps, strict=True):
        nearest = np.asarray(Image.fromarray(one).resize((48, 32), Image.Resampling.NEAREST))
        assert np.array_equal(labels, reduced(nearest) if reduces else nearest)


@pytest.mark.parity
@pytest.mark.parametrize("folder", ["beit", "dpt"])
def test_labels_that_are_not_resized_equal_too(folder, tmp_path: Path) -> None:
    module = pytest.importorskip(f"transformers.models.{folder}.image_processing_pil_{folder}")
    theirs = getattr(module, KINDS[folder][0])(do_resize=False, do_reduce_labels=True)
    theirs.save_pretrained(tmp_path)
    images, maps = samples([(32, 48)] * 2)
    expected = theirs(images, segmentation_maps=[one.copy() for one in maps], return_tensors="pt")["labels"]
    assert torch.equal(AutoImageProcessor.from_pretrained(tmp_path)(images, segmentation_maps=maps).labels, expected)


def test_padding_is_ignored_and_forms_are_taken(tmp_path: Path) -> None:
    file = {"image_processor_type": "DPTImageProcessor", "size": {"height": 28, "width": 28}}
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**file, "keep_aspect_ratio": True, "ensure_multiple_of": 14})
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    images, maps = samples([(28, 28), (28, 56)])
    given = processor(images, segmentation_maps=maps)
    assert given.labels.shape == (2, 28, 56)
    assert (given.labels[0, :, 28:] == 255).all()
    assert given.pixel_mask.sum((1, 2)).tolist() == [28 * 28, 28 * 56]
    assert np.array_equal(given.labels[1], maps[1])
    for form in (Image.fromarray(maps[1]), torch.from_numpy(maps[1]), maps[1][None], [maps[1]]):
        assert torch.equal(processor(images[1], form).labels[0], given.labels[1])
    assert torch.equal(
        processor(images[1], maps[1], do_reduce_labels=True).labels[0], torch.from_numpy(reduced(maps[1]))
    )
    assert isinstance(processor(images[1], maps[1], return_tensors="np").labels, np.ndarray)


def test_old_files_reduce_too(tmp_path: Path) -> None:
    file = {"feature_extractor_type": "SegformerFeatureExtractor", "reduce_labels": True, "size": 16}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(file))
    given = AutoImageProcessor.from_pretrained(tmp_path)(np.zeros((16, 16, 3), np.uint8), np.eye(16, dtype=np.uint8))
    assert torch.equal(given.labels[0], torch.where(torch.eye(16, dtype=torch.bool), 0, 255))
