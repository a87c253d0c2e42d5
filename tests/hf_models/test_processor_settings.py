"""Settings of `AutoImageProcessor`: attributes, changes at load and in a call, files; equal to transformers'."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.errors import ContractError, StorageError
from backbonekit.hf_models import AutoImageProcessor
from backbonekit.hf_models.processor_settings import SETTINGS
from backbonekit.image_processing.preprocessor_types import PREPROCESSOR_TYPES
from tests.hf_cache import cache_repository

DETR = {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 40, "longest_edge": 70}}
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 24}}


ALWAYS_PADDING = ("Mask2Former", "MaskFormer", "OneFormer")


def make_images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def theirs_of(kind: str, **options: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    name = f"{kind}ImageProcessor"
    return (getattr(transformers, f"{name}Pil", None) or getattr(transformers, name))(**options)


def compare(ours: Any, theirs: Any) -> None:
    assert set(ours) == set(theirs)
    difference = np.abs(np.asarray(ours["pixel_values"]) - np.asarray(theirs["pixel_values"]))
    assert difference.max() <= 1e-4
    if "pixel_mask" in theirs:
        assert np.array_equal(ours["pixel_mask"], theirs["pixel_mask"])


@pytest.mark.parity
@pytest.mark.parametrize("kind", sorted(PREPROCESSOR_TYPES))
def test_attributes_and_the_file_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    order = {"do_flip_channel_order": False} if PREPROCESSOR_TYPES[kind].reverses_channels else {}
    theirs = theirs_of(kind, **order)
    theirs.save_pretrained(tmp_path)
    for processor in (
        AutoImageProcessor.from_pretrained(tmp_path),
        AutoImageProcessor.from_dict({"image_processor_type": f"{kind}ImageProcessor", **order}),
    ):
        for name in ("do_resize", "size", "do_center_crop", "do_rescale", "rescale_factor", "do_normalize", "do_pad"):
            expected = getattr(theirs, name, None)
            if (name, kind) in (("do_resize", "VitPose"), *(("do_pad", each) for each in ALWAYS_PADDING)):
                continue  # it always or never does so, and has no such setting
            assert getattr(processor, name) == (False if expected is None and name.startswith("do_") else expected), (
                name
            )
        assert processor.image_mean == list(theirs.image_mean)
        assert processor.image_std == list(theirs.image_std)
        if kind not in ("OneFormer", "PromptDepthAnything", "RTDetr"):  # with keys that no call returns
            assert processor.model_input_names == list(theirs.model_input_names)
        if processor.do_center_crop:
            assert processor.crop_size == dict(theirs.crop_size)
        if processor.do_resize and theirs.resample is not None:
            assert processor.resample == theirs.resample


@pytest.mark.parity
@pytest.mark.parametrize("kind", sorted(PREPROCESSOR_TYPES.keys() - {"VitPose"}))
def test_what_is_written_prepares_alike_here_and_there(kind: str, tmp_path: Path) -> None:
    fields = {"image_processor_type": f"{kind}ImageProcessor", "image_mean": [0.1, 0.2, 0.3]}
    fields |= {"do_flip_channel_order": False} if PREPROCESSOR_TYPES[kind].reverses_channels else {}
    ours = AutoImageProcessor.from_dict(fields, **({"size": 40} if kind != "ConvNext" else {"size": 400}))
    assert ours.save_pretrained(tmp_path / "new") == [str(tmp_path / "new" / "preprocessor_config.json")]
    again = AutoImageProcessor.from_pretrained(tmp_path / "new")
    assert (again.processing, again.to_dict()) == (ours.processing, ours.to_dict())
    assert json.loads(ours.to_json_string()) == ours.to_dict()
    theirs = type(theirs_of(kind)).from_pretrained(tmp_path / "new")
    (given,) = make_images((61, 83))
    found, expected = ours(given).pixel_values[0], torch.as_tensor(np.asarray(theirs(given)["pixel_values"][0]))
    assert found.shape == expected.shape
    # The torchvision processors resample in another arithmetic than Pillow: two steps of 1/255, over the deviation.
    allowed = 1e-4 if type(theirs).__name__.endswith("Pil") else 2.01 / 255 / min(ours.processing.std)
    assert (found - expected).abs().max() <= allowed


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("ViT", {"size": 40}),
    ("ViT", {"size": (20, 30)}),
    ("ViT", {"size": {"height": 20, "width": 30}, "resample": Image.Resampling.BICUBIC}),
    ("ViT", {"do_resize": False}),
    ("ViT", {"do_rescale": False}),
    ("ViT", {"do_rescale": False, "do_normalize": False}),
    ("ViT", {"rescale_factor": 1 / 127.5}),
    ("ViT", {"do_normalize": False}),
    ("ViT", {"image_mean": [0.2, 0.3, 0.4], "image_std": (0.5, 0.6, 0.7)}),
    ("Bit", {"size": {"shortest_edge": 30}, "crop_size": 20}),
    ("Bit", {"size": {"shortest_edge": 30}, "crop_size": {"height": 20, "width": 44}}),
    ("Bit", {"do_center_crop": False, "do_resize": False}),
    ("Detr", {"size": {"max_height": 33, "max_width": 60}}),
    ("Detr", {"size": {"shortest_edge": 30, "longest_edge": 50}, "pad_size": {"height": 60, "width": 70}}),
    ("Detr", {"size": {"height": 30, "width": 50}, "do_pad": False}),
    ("RTDetr", {"size": (40, 60), "do_pad": True}),
]


@pytest.mark.parity
@pytest.mark.parametrize(("kind", "changes"), CHANGES)
def test_changes_in_a_call_and_at_load_are_those_of_transformers(kind: str, changes: dict, tmp_path: Path) -> None:
    small = {"size": 36} if kind in ("ViT", "RTDetr") else {}
    theirs = theirs_of(kind, **small)
    theirs.save_pretrained(tmp_path)
    images = make_images((40, 51), (40, 51))
    expected = theirs(images, return_tensors="np", **changes)
    compare(AutoImageProcessor.from_pretrained(tmp_path)(images, return_tensors="np", **changes), expected)
    compare(AutoImageProcessor.from_pretrained(tmp_path, **changes)(images, return_tensors="np"), expected)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    for name, value in changes.items():
        setattr(processor, name, value)
    compare(processor(images, return_tensors="np"), expected)
    compare(processor.preprocess(images, return_tensors="np"), expected)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["ViT", "Detr"])
def test_arrays_with_channels_first_and_floats_that_are_not_rescaled(kind: str) -> None:
    options = {"size": {"height": 30, "width": 40}}
    theirs = theirs_of(kind, **options)
    ours = AutoImageProcessor.from_dict(theirs.to_dict())
    (image,) = make_images((30, 40))
    first = np.ascontiguousarray(image.transpose(2, 0, 1))
    expected = theirs(first, return_tensors="np")
    compare(ours(first, return_tensors="np"), expected)
    compare(ours(torch.from_numpy(image), return_tensors="np"), expected)
    compare(ours(first, return_tensors="np", input_data_format="channels_first"), expected)
    floats = image.astype(np.float32) / 255
    expected = theirs(floats, return_tensors="np", do_rescale=False, do_resize=False)
    for given in (floats, torch.from_numpy(floats).permute(2, 0, 1)):
        compare(ours(given, return_tensors="np", do_rescale=False, do_resize=False), expected)
    with pytest.raises(ContractError, match="16 bits"):
        ours(image.astype(np.uint16), do_rescale=False)


def test_an_ambiguous_shape_is_said_by_its_format() -> None:
    processor = AutoImageProcessor.from_dict(VIT, do_resize=False, do_normalize=False)
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    assert processor(image).pixel_values.shape == (1, 3, 3, 5)
    assert processor(image, input_data_format="channels_first").pixel_values.shape == (1, 3, 5, 3)
    assert processor(torch.from_numpy(image)).pixel_values.shape == (1, 3, 5, 3)
    assert processor(torch.from_numpy(image), input_data_format="channels_last").pixel_values.shape == (1, 3, 3, 5)
    with pytest.raises(ContractError, match="known are 'channels_first' and 'channels_last'"):
        processor(image, input_data_format="HWC")


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["Detr", "Bit"])
def test_lists_of_arrays(kind: str) -> None:
    options = {"size": {"shortest_edge": 30, "longest_edge": 60}}
    options |= {"do_center_crop": False} if kind == "Bit" else {}
    theirs = theirs_of(kind, **options)
    images = make_images((30, 40), (50, 30))
    given, expected = AutoImageProcessor.from_dict(theirs.to_dict())(images, return_tensors=None), theirs(images)
    assert set(given) == set(expected)
    for name in given:
        assert isinstance(given[name], list)
        for one, other in zip(given[name], expected[name], strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= 1e-4


def test_images_that_may_not_be_padded_make_no_batch() -> None:
    images = make_images((30, 40), (50, 30))
    processor = AutoImageProcessor.from_dict(DETR)
    with pytest.raises(ContractError, match=r"do_pad=False, and images of different sizes \(40 x 53, 66 x 40\)"):
        processor(images, do_pad=False)
    alone = processor(images, do_pad=False, return_tensors=None)
    assert [values.shape for values in alone.pixel_values] == [(3, 40, 53), (3, 66, 40)]
    maps = [np.zeros(image.shape[:2], int) for image in images]
    labels = AutoImageProcessor.from_dict({"image_processor_type": "SegformerImageProcessor"}, do_resize=False)(
        images, maps, return_tensors=None
    ).labels
    assert [one.shape for one in labels] == [(30, 40), (50, 30)]


def test_prepared_images_are_padded_as_collate_functions_do() -> None:
    processor = AutoImageProcessor.from_dict(DETR)
    images = make_images((30, 40), (50, 30))
    together = processor(images)
    alone = [processor(image).pixel_values[0] for image in images]
    for given in (alone, [one.numpy() for one in alone]):
        padded = processor.pad(given, return_tensors="pt")
        assert torch.equal(padded.pixel_values, together.pixel_values)
        assert torch.equal(padded.pixel_mask, together.pixel_mask)
    assert processor.pad(alone, pad_size={"height": 80, "width": 90}).pixel_values.shape == (2, 3, 80, 90)
    assert list(processor.pad(alone[:1], return_pixel_mask=False)) == ["pixel_values"]


VALUES: dict[str, Any] = {
    "do_resize": False,
    "size": {"height": 20, "width": 30},
    "resample": 0,
    "do_center_crop": True,
    "crop_size": 10,
    "do_rescale": False,
    "rescale_factor": 0.5,
    "do_normalize": False,
    "image_mean": 0.1,
    "image_std": 0.1,
    "do_pad": False,
    "pad_size": {"height": 90, "width": 90},
    "do_reduce_labels": True,
    "ignore_index": 1,
    "do_convert_annotations": False,
}


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "format"])  # see test_panoptic_annotations
def test_every_setting_changes_something(name: str) -> None:
    crops = {"do_center_crop": name != "do_center_crop", "crop_size": {"height": 30, "width": 30}}
    base = AutoImageProcessor.from_dict({**DETR, **(crops if "crop" in name else {}), "ignore_index": 5})
    objects = {"image_id": 1, "annotations": [{"bbox": [1, 2, 9, 8], "category_id": 1, "area": 9.0, "iscrowd": 0}]}
    image, labels = make_images((30, 40)), np.repeat([[0, 1, 2, 3]], 30, 0).repeat(10, 1)

    before = _content(base, image, objects, labels, {})
    assert _content(base, image, objects, labels, {name: VALUES[name]}) != before
    setattr(base, name, VALUES[name])
    assert _content(base, image, objects, labels, {}) != before


def _content(processor: AutoImageProcessor, image: Any, objects: Any, labels: Any, settings: dict[str, Any]) -> str:
    inputs = [processor(image, annotations=objects, **settings), processor(image, labels, **settings)]
    return repr([pickle.dumps({key: one[key] for key in one}) for one in (each.to_numpy() for each in inputs)])


def test_what_is_no_setting_or_cannot_be_is_refused(tmp_path: Path) -> None:
    processor = AutoImageProcessor.from_dict(DETR)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"do_resise": True}, "no setting 'do_resise'; did you mean 'do_resize'"),
        ({"size": {"height": 3}}, r"with size the processor has the size \{'height': 3\}"),
        ({"size": 0}, "has size.shortest_edge 0"),
        ({"size": "large"}, "has size 'large'"),
        ({"do_resize": "yes"}, "do_resize=yes must be True or False"),
        ({"resample": 9}, "resizes by method 9"),
        ({"crop_size": 9}, "crop_size has no effect with do_center_crop=False"),
        ({"image_mean": 0.5, "do_normalize": False}, "image_mean has no effect with do_normalize=False"),
        ({"ignore_index": "x"}, "ignore_index 'x'"),
        ({"return_segmentation_masks": True}, "about the objects of annotations"),
        ({"instance_id_to_semantic_id": {1: 2}}, "is about segmentation_maps"),
    ]
    for settings, says in refused:
        with pytest.raises(ContractError, match=says):
            processor(make_images((9, 9)), **settings)
    with pytest.raises(ContractError, match="no setting 'trust_remote_code'"):
        AutoImageProcessor.from_dict(DETR, trust_remote_code=True)
    with pytest.raises(ContractError, match="code of a repository is never run"):
        AutoImageProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    with pytest.raises(StorageError, match="has size"):
        AutoImageProcessor.from_dict({**DETR, "size": -1})
    processor.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="at most two steps of 1/255"):
        AutoImageProcessor.from_pretrained(tmp_path, use_fast=True)
    assert AutoImageProcessor.from_pretrained(tmp_path, use_fast=False).size == DETR["size"]
    assert repr(processor).startswith('AutoImageProcessor {\n  "do_center_crop": false')


def test_a_folder_inside_a_folder_and_another_cache(tmp_path: Path) -> None:
    AutoImageProcessor.from_dict(DETR).save_pretrained(tmp_path / "run" / "processor")
    assert AutoImageProcessor.from_pretrained(tmp_path / "run", subfolder="processor").size == DETR["size"]
    cache_repository(tmp_path / "hub", "someone/detr", tmp_path / "run" / "processor")
    found = AutoImageProcessor.from_pretrained("someone/detr", cache_dir=tmp_path / "hub", local_files_only=True)
    assert found.size == DETR["size"]
    with pytest.raises(StorageError, match="someone/detr"):
        AutoImageProcessor.from_pretrained("someone/detr", cache_dir=tmp_path / "none", local_files_only=True)


def test_a_processor_of_timm_is_saved_and_opens_again(tmp_path: Path) -> None:
    processor = AutoImageProcessor.from_pretrained("timm/resnet50.a1_in1k")
    assert processor.crop_size == {"height": 224, "width": 224}
    processor.save_pretrained(tmp_path)
    assert AutoImageProcessor.from_pretrained(tmp_path).processing == processor.processing
