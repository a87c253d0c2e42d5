"""COCO's files become the targets that their annotations mean; every fault is named."""

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as oracle

from backbonekit.contract.datasets import DataSource, Split
from backbonekit.contract.labels import Labels
from backbonekit.data import open_data
from backbonekit.errors import RecipeError, StorageError
from tests.data.files import CATEGORIES, box, coco, save_array, save_coco

POLYGON = [[5.0, 4, 15, 4, 15, 10, 5, 10]]


def opened(root, content, **settings):
    return open_data({**save_coco(root, content), **settings})


def test_boxes_labels_and_ids(tmp_path):
    source = opened(tmp_path, coco(annotations=[box(), box(category=18, id=2, bbox=[0, 0, 40, 5])]))
    assert isinstance(source, DataSource)
    assert source.labels == Labels(("dog", "car"), category_ids=(18, 3))
    split = source.split("train")
    assert isinstance(split, Split)
    assert (len(split), split.name(1), split.image_id(1)) == (2, "a1.png", 11)
    image, target = split[0]
    assert image.size == (30, 20)
    assert target["boxes"].tolist() == [[5, 4, 15, 10], [0, 0, 30, 5]]  # the second one is cut to the image
    assert target["labels"].tolist() == [1, 0]
    assert target["image_id"] == 10
    assert "masks" not in target
    _, empty = split[1]
    assert empty["boxes"].shape == (0, 4)
    assert empty["labels"].shape == (0,)


def test_masks_of_polygons_and_run_lengths_and_crowds(tmp_path):
    mask = np.zeros((20, 30), dtype=np.uint8, order="F")
    mask[3:9, 7:20] = 1
    packed = oracle.encode(mask)
    compressed = {"size": [20, 30], "counts": packed["counts"].decode()}
    plain = {"size": [20, 30], "counts": [0, 1, 599]}
    content = coco(
        annotations=[
            box(segmentation=POLYGON),
            box(id=2, segmentation=compressed),
            box(id=3, segmentation=plain, iscrowd=1, area=1.0),
        ]
    )
    _, target = opened(tmp_path, content).split("train")[0]
    assert target["masks"].sum(dim=(1, 2)).tolist() == [60, 78, 1]
    assert torch.equal(target["masks"][1], torch.from_numpy(mask).bool())
    assert target["iscrowd"].tolist() == [False, False, True]
    assert target["area"].tolist() == [60, 60, 1]
    _, without = opened(tmp_path, content, masks=False).split("train")[0]
    assert "masks" not in without


def test_keypoints_and_their_names(tmp_path):
    person = {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}
    points = [6, 5, 2, 7, 5, 1, 0, 0, 0]
    content = coco(1, [box(category=1, keypoints=points)], categories=[person])
    source = opened(tmp_path, content, labels_of="keypoints")
    assert source.labels == Labels(("nose", "left_eye", "right_eye"))
    _, target = source.split("train")[0]
    assert target["keypoints"].tolist() == [[[6, 5, 2], [7, 5, 1], [0, 0, 0]]]
    with pytest.raises(StorageError, match="no category has keypoints"):
        _ = opened(tmp_path, coco(), labels_of="keypoints").labels


def test_panoptic_files(tmp_path):
    numbers = np.zeros((20, 30), dtype=np.int64)
    numbers[2:6, 3:9], numbers[10:] = 70_000, 258
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65_536], axis=-1).astype(np.uint8)
    save_array(tmp_path / "train" / "a0.png", colours)
    segments = [{"id": 70_000, "category_id": 3}, {"id": 258, "category_id": 18, "iscrowd": 1}]
    entry = {"image_id": 10, "file_name": "a0.png", "segments_info": segments}
    categories = [{**CATEGORIES[0], "isthing": 0}, {**CATEGORIES[1], "isthing": 1}]
    source = opened(tmp_path, coco(1, [entry], categories=categories))
    assert source.labels is not None
    assert source.labels.things == {1}
    _, target = source.split("train")[0]
    assert target["labels"].tolist() == [1, 0]
    assert target["boxes"].tolist() == [[3, 2, 9, 6], [0, 10, 30, 20]]
    assert target["masks"].sum(dim=(1, 2)).tolist() == [24, 300]
    assert target["iscrowd"].tolist() == [False, True]

    wrong = {**entry, "segments_info": [{"id": 5, "category_id": 3}]}
    with pytest.raises(StorageError, match=r"a0\.png: the segment 5 has no pixel"):
        opened(tmp_path, coco(1, [wrong])).split("train")[0]
    with pytest.raises(StorageError, match=r"a1\.png: its map of segments, None, is not in"):
        opened(tmp_path, coco(2, [entry])).split("train")
    unknown = {**entry, "segments_info": [{"id": 5, "category_id": 4}]}
    with pytest.raises(StorageError, match="a segment has an id and the category_id of a category"):
        opened(tmp_path, coco(1, [unknown])).split("train")


def test_names_select_and_order_the_categories(tmp_path):
    content = coco(annotations=[box(), box(category=18, id=2)])
    source = opened(tmp_path, content, names=["car"])
    assert source.labels == Labels(("car",), category_ids=(3,))
    assert source.split("train")[0][1]["labels"].tolist() == [0]
    with pytest.raises(StorageError, match="has 'cat'; its categories are dog, car"):
        _ = opened(tmp_path, content, names=["cat"]).labels


def test_every_fault_is_named_and_the_first_twenty_are_shown(tmp_path):
    faults = [
        box(category=4),
        box(bbox=[5, 4, -1, 6]),
        box(bbox=[40, 4, 5, 6]),
        box(bbox=[5, 4, 5]),
        box(bbox=[5, 4, float("nan"), 6]),
        box(image=99),
        box(keypoints=[1, 2, 2]),
    ]
    content = coco(annotations=[*faults, *[box(category=5) for _ in range(20)], box(category=18)])
    for number, one in enumerate(content["annotations"]):
        one["id"] = number
    with pytest.raises(StorageError) as caught:
        opened(tmp_path, content).split("train")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("data.train=train.json: 27 faults.")
    assert "a0.png: annotation 0: category_id 4 is none of the categories" in lines[1]
    assert "annotation 1: bbox [5, 4, -1, 6] has a negative size" in lines[2]
    assert "annotation 2: bbox [40, 4, 5, 6] is outside its image of 30 x 20 (width x height)" in lines[3]
    assert "annotation 5: there is no image with the id 99" in lines[6]
    assert "keypoints are 0 numbers" in lines[7]
    assert lines[-2].strip() == "... and 7 more."
    assert "data.skip_broken=true" in lines[-1]
    assert len(lines) == 23
    rest = opened(tmp_path, content, skip_broken=True).split("train")
    assert rest[0][1]["labels"].tolist() == [0]
    assert len(rest.faults) == 27


def test_missing_and_broken_images_are_named_or_left_out(tmp_path):
    settings = save_coco(tmp_path, coco(3, [box(), box(12, id=2)]))
    (tmp_path / "a0.png").unlink()
    with pytest.raises(StorageError, match=r"1 fault\.\n  1\. a0\.png: there is no such file"):
        open_data(settings).split("train")
    whole = (tmp_path / "a1.png").read_bytes()
    (tmp_path / "a1.png").write_bytes(whole[: len(whole) // 2])
    split = open_data({**settings, "skip_broken": True}).split("train")
    assert [split.name(index) for index in range(len(split))] == ["a2.png"]
    assert split.image_id(0) == 12
    assert split[0][1]["labels"].tolist() == [1]
    assert any("a1.png: broken image" in fault for fault in split.faults)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "C:\\secret.png", "a/../../secret.png", "a\\..\\b", ""]
)
def test_an_image_outside_the_root_is_refused(tmp_path, name):
    content = coco(1)
    settings = save_coco(tmp_path / "data", content)
    Image.new("RGB", (30, 20)).save(tmp_path / "secret.png")
    content["images"][0]["file_name"] = name
    (tmp_path / "data" / "train.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match="leads out of"):
        open_data(settings).split("train")


@pytest.mark.parametrize("option", ["train", "train_images"])
def test_settings_stay_inside_the_root(tmp_path, option):
    settings = save_coco(tmp_path / "data", coco())
    save_coco(tmp_path, coco())
    with pytest.raises(StorageError, match=rf"data\.{option}='\.\..*' leads out of data\.root"):
        open_data({**settings, option: "../train.json"}).split("train")


def test_an_image_that_was_turned_after_it_was_annotated_is_refused(tmp_path):
    settings = save_coco(tmp_path, coco(1, [box()]))
    Image.open(tmp_path / "a0.png").transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a0.png")
    with pytest.raises(StorageError, match=r"a0\.png: the image has 30 x 20 .* say 20 x 30, so it was turned"):
        open_data(settings).split("train")[0]


def test_an_object_without_a_mask_among_others_with_one(tmp_path):
    content = coco(1, [box(segmentation=POLYGON), box(id=2)])
    with pytest.raises(StorageError, match=r"annotation 2 has no segmentation, and others have; data\.masks=false"):
        opened(tmp_path, content).split("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a JSON object is expected"),
        ({"images": []}, "it has no list 'annotations'"),
        (coco(categories=[]), "no categories"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "two categories have the same id"),
        (coco(categories=[{"id": "1", "name": "a"}]), "a category has an id"),
        (coco(images=0), "no image of it can be used"),
        (coco() | {"images": [{"file_name": "a.png"}]}, "image 0 has no id and file_name"),
        (coco() | {"images": [{"id": 1, "file_name": "a.png"}] * 2}, "two images have the same id"),
    ],
)
def test_what_is_no_annotation_file(tmp_path, content, message):
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises((StorageError, RecipeError), match=message):
        open_data({"name": "coco", "root": str(tmp_path), "train": "train.json"}).split("train")


def test_splits_have_the_same_categories(tmp_path):
    settings = save_coco(tmp_path, coco())
    save_coco(tmp_path, coco(categories=CATEGORIES[::-1]), "val.json")
    source = open_data({**settings, "val": "val.json"})
    assert len(source.split("train")) == 2
    with pytest.raises(StorageError, match=r"val\.json: its categories are not those of train\.json"):
        source.split("val")
    with pytest.raises(RecipeError, match="data has no split 'test'"):
        source.split("test")


def test_a_hundred_thousand_annotations_are_read_in_about_a_second(tmp_path):
    settings = save_coco(tmp_path, coco(1))
    images = [{"id": index, "file_name": "a0.png", "height": 20, "width": 30} for index in range(10_000)]
    annotations = [box(index // 10, id=index, area=60.0, segmentation=POLYGON) for index in range(100_000)]
    (tmp_path / "train.json").write_text(json.dumps(coco() | {"images": images, "annotations": annotations}))
    started = time.process_time()
    split = open_data(settings).split("train")
    taken = time.process_time() - started
    assert len(split[9_999][1]["boxes"]) == 10
    assert taken < 6  # 2.6 s measured with two other processes on each core
