"""`AutoImageProcessor` for detectors reads COCO's panoptic annotations, equal to transformers'."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.errors import ContractError
from tests.hf_models.test_detection_processor import make_images, processor_of, theirs_of

SEGMENTS = {65793: (5, 9, 30, 44), 7: (0, 0, 60, 20), 300: (41, 50, 42, 51)}  # top, left, bottom, right


def annotation(folder: Path, size: tuple[int, int] = (60, 90), name: str = "1.png", **more) -> dict:
    numbers = np.zeros(size, dtype=np.int64)
    for number, (top, left, bottom, right) in SEGMENTS.items():
        numbers[top:bottom, left:right] = number
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1)
    Image.fromarray(colours.astype(np.uint8)).save(folder / name)
    segments = [
        {"id": number, "category_id": 3 * index, "area": 10.0 * index + 3, "iscrowd": index % 2}
        for index, number in enumerate(SEGMENTS)
    ]
    return {"image_id": 7, "file_name": name, "segments_info": segments, **more}


@pytest.mark.parity
@pytest.mark.parametrize("with_masks", [None, True, False])
@pytest.mark.parametrize("converts", [True, False])
@pytest.mark.parametrize("folder", ["detr", "deformable_detr", "conditional_detr"])
def test_labels_equal_those_of_transformers(folder, converts, with_masks, tmp_path: Path) -> None:
    theirs = theirs_of(folder, format="coco_panoptic", do_convert_annotations=converts)
    theirs.save_pretrained(tmp_path)
    kind = "".join(word.capitalize() for word in folder.split("_"))
    ours = processor_of(tmp_path, kind, format="coco_panoptic", do_convert_annotations=converts)
    assert ours.format == ours.to_dict()["format"] == "coco_panoptic"
    images = make_images((60, 90))
    options = {"masks_path": tmp_path, "return_segmentation_masks": with_masks, "return_tensors": "pt"}
    (expected,) = theirs(images, annotations=[annotation(tmp_path)], **options)["labels"]
    (given,) = ours(images, annotations=[annotation(tmp_path)], **options).labels
    assert set(given) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(given[name].float(), value.float(), rtol=1e-5, atol=1e-5, msg=name)
    assert ("masks" in given) == (with_masks is not False)
    assert given["iscrowd"].tolist() == [0, 1, 0]


def test_masks_are_padded_and_an_area_may_be_left_out(tmp_path: Path) -> None:
    processor = processor_of(tmp_path, "Detr")
    first = annotation(tmp_path)
    for segment in first["segments_info"]:
        del segment["area"]
    second = annotation(tmp_path, (120, 80), "2.png")
    inputs = processor(make_images((60, 90), (120, 80)), [first, second], format="coco_panoptic", masks_path=tmp_path)
    masks = inputs.labels[0]["masks"]
    assert masks.shape[1:] == inputs.pixel_values.shape[2:]
    assert not masks[:, 47:].any()  # 60 x 90 becomes 46 x 70
    assert inputs.labels[0]["area"].min() > 0


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({}, {"masks_path": None}, "masks_path=, their folder, is required"),
        ({}, {"format": "coco_detection"}, "is for annotations of format"),
        ({}, {"format": "voc"}, "format 'voc'; known are coco_detection and coco_panoptic"),
        ({"segments_info": None}, {}, r"COCO's for panoptic.*given: 'image_id', 'file_name'"),
        ({"file_name": "absent.png"}, {}, r"absent.png cannot be read"),
        ({"file_name": None}, {}, "names the PNG file"),
        ({"segments_info": [{"id": 5, "category_id": 1}]}, {}, "no pixel of the segment 5"),
        ({"segments_info": [{"id": 5}]}, {}, "a segment has an id and a category_id"),
    ],
)
def test_what_does_not_fit_is_refused(changes, options, says, tmp_path: Path) -> None:
    processor, given = processor_of(tmp_path, "Detr"), {**annotation(tmp_path), **changes}
    with pytest.raises(ContractError, match=says):
        processor(make_images((60, 90)), given, **{"format": "coco_panoptic", "masks_path": tmp_path, **options})
    with pytest.raises(ContractError, match="has 60 x 90 pixels, its image 30 x 30"):
        processor(make_images((30, 30)), annotation(tmp_path), format="coco_panoptic", masks_path=tmp_path)


def test_other_processors_read_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="format is about the annotations of a detector"):
        processor_of(tmp_path, "ViT", size=32)(make_images((60, 90)), format="coco_panoptic")
    with pytest.raises(ContractError, match="and none were given"):
        processor_of(tmp_path, "Detr")(make_images((60, 90)), masks_path=tmp_path)
