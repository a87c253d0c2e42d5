"""COCO-style JSON, run lengths and label maps, read back."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    Segment,
    SemanticResult,
)
from backbonekit.errors import StorageError
from backbonekit.image_processing.reading import open_image
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.coco_entries import decode_mask, encode_mask
from backbonekit.postprocessing.label_map import label_png
from backbonekit.postprocessing.writing import write_file, write_image

LABELS = Labels(("cat", "sky"), things=frozenset({0}))


def test_run_lengths_are_those_of_pycocotools():
    # pycocotools 2.0.11: mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    mask = np.zeros((6, 5), bool)
    mask[1:4, 2:] = mask[0, 0] = True
    assert encode_mask(mask) == {"size": [6, 5], "counts": "01<2G000O"}
    pattern = np.add.outer(np.arange(40) ** 2, np.arange(50) * 7) % 11 < 4
    start = "0230010O010O010OOOO010O020N010O020N010O020N0100020N00020N00020N00021N000O01000O0"
    assert encode_mask(pattern)["counts"][:80] == start


def test_run_lengths_come_back():
    generator = np.random.default_rng(0)
    masks = [
        generator.random(generator.integers(1, 90, 2)) < share for share in (0, 0.01, 0.5, 0.99, 1) for _ in range(5)
    ]
    masks.append(np.zeros((700, 900), bool))
    masks[-1][100:600, 50:800] = True
    for mask in masks:
        assert np.array_equal(decode_mask(encode_mask(mask)), mask)


def test_things_are_written(tmp_path):
    masks = torch.zeros(1, 8, 9, dtype=torch.bool)
    masks[0, 2:5, 3:7] = True
    result = InstanceResult(torch.tensor([1]), torch.tensor([0.75]), torch.tensor([[3.0, 2.0, 7.0, 5.0]]), masks)
    boxes = InstanceResult(torch.tensor([0]), torch.tensor([0.5]), torch.tensor([[1.0, 1.0, 3.0, 5.0]]))
    coco = CocoResults(tmp_path / "r.json", LABELS)
    coco.add("one.png", (8, 9), result)
    coco.add("two.png", (8, 9), boxes)
    coco.write()
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["images"][0] == {"id": 1, "file_name": "one.png", "height": 8, "width": 9}
    assert content["categories"] == [{"id": 0, "name": "cat", "isthing": 1}, {"id": 1, "name": "sky", "isthing": 0}]
    first, second = content["annotations"]
    assert (first["image_id"], first["category_id"], first["score"], first["area"]) == (1, 1, 0.75, 12)
    assert first["bbox"] == [3, 2, 4, 3]
    assert np.array_equal(decode_mask(first["segmentation"]), masks[0])
    assert second["bbox"] == [1, 1, 2, 4]
    assert "segmentation" not in second
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_label_maps_stand_beside(tmp_path):
    segmentation = torch.tensor([[0, 1, 255], [2, 2, 1]])
    panoptic = PanopticResult(torch.tensor([[0, 1, 1], [2, 2, 2]]), [Segment(1, 0, 0.9), Segment(2, 1, 0.8, True)])
    depth = torch.tensor([[1.0, 2.5], [float("nan"), 7.0]])
    coco = CocoResults(tmp_path / "r.json", LABELS)
    coco.add("a/one.jpg", (2, 3), SemanticResult(segmentation))
    coco.add("two.jpg", (2, 3), {"seg": panoptic, "depth": DepthResult(depth)})
    coco.add("three.jpg", (2, 3), ClassResult(torch.tensor([1, 0]), torch.tensor([0.7, 0.3])))
    coco.write()
    semantic, segments, distance, best, second = json.loads((tmp_path / "r.json").read_text())["annotations"]
    assert semantic["file_name"] == "r_maps/000001_one.png"
    assert np.array_equal(open_image(tmp_path / semantic["file_name"]), segmentation)
    assert np.array_equal(open_image(tmp_path / segments["file_name"]), panoptic.segmentation)
    assert segments["task"] == "seg"
    info = segments["segments_info"][0]
    assert (info["id"], info["category_id"], info["area"], info["bbox"]) == (1, 0, 2, [1, 0, 2, 1])
    values = np.asarray(open_image(tmp_path / distance["file_name"])).astype(float)
    np.testing.assert_allclose(
        np.where(values == 0, np.nan, distance["offset"] + distance["scale"] * values), depth, atol=1e-3
    )
    assert [best["category_id"], second["category_id"]] == [1, 0]


def test_persons_are_written_with_their_keypoints(tmp_path):
    points = torch.tensor([[3.5, 4.25], [float("nan")] * 2, [1.0, 2.0]])
    coco = CocoResults(tmp_path / "r.json")
    coco.add("one.jpg", (8, 9), KeypointResult(points, torch.tensor([0.5, 0.1, 0.75])))
    coco.add("two.jpg", (8, 9), KeypointResult(points[1:2], torch.tensor([0.1])))
    coco.write()
    one, nobody = json.loads((tmp_path / "r.json").read_text())["annotations"]
    assert (one["keypoints"], one["num_keypoints"], one["score"]) == ([3.5, 4.25, 2, 0, 0, 0, 1.0, 2.0, 2], 2, 0.625)
    assert (nobody["keypoints"], nobody["num_keypoints"], nobody["score"]) == ([0, 0, 0], 0, 0.0)


@pytest.mark.parametrize(("largest", "mode"), [(254, "P"), (300, "I;16")])
def test_many_labels_take_sixteen_bits(tmp_path, largest, mode):
    labels = np.array([[0, largest, 255]])
    (tmp_path / "map.png").write_bytes(label_png(labels, largest, nothing=255))
    image = open_image(tmp_path / "map.png")
    assert image.mode == mode
    assert np.asarray(image).tolist() == [[0, largest, 255 if mode == "P" else 65_535]]


def test_a_depth_map_of_one_value_or_none(tmp_path):
    coco = CocoResults(tmp_path / "r.json")
    coco.add("flat", (2, 2), DepthResult(torch.full((2, 2), 3.0)))
    coco.add("none", (2, 2), DepthResult(torch.full((2, 2), float("nan"))))
    coco.write()
    flat, none = json.loads((tmp_path / "r.json").read_text())["annotations"]
    values = np.asarray(open_image(tmp_path / flat["file_name"])).astype(float)
    np.testing.assert_allclose(flat["offset"] + flat["scale"] * values, 3.0, atol=1e-6)
    assert not np.asarray(open_image(tmp_path / none["file_name"])).any()


def test_files_are_written_completely_or_not_at_all(tmp_path):
    write_file(tmp_path / "new" / "a.txt", b"old")
    write_file(tmp_path / "new" / "a.txt", b"new")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"new"
    assert len(list((tmp_path / "new").iterdir())) == 1
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path / "new" / "a.txt" / "b.txt", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path / "folder", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "new"]


def test_images_are_written_by_their_suffix(tmp_path):
    image = Image.new("RGB", (5, 4), (250, 0, 0))
    for name in ("a.png", "a.jpg", "a.webp"):
        write_image(tmp_path / name, image)
        assert open_image(tmp_path / name).size == (5, 4)
    for name in ("a.txt", "a", "a.pdf"):
        with pytest.raises(StorageError, match=r"use \.png"):
            write_image(tmp_path / name, image)
    with pytest.raises(StorageError, match="do not go into JPEG"):
        write_image(tmp_path / "long.jpg", Image.new("L", (70_000, 1)))


@pytest.mark.parametrize(
    ("ignore_label", "labels", "written"),
    [
        (-1, [0, 255, 299, -1], [0, 255, 299, 65_535]),  # 255 is a class like any other
        (255, [0, 254, 299, 255], [0, 254, 299, 65_535]),
        (-1, [0, 7, 254, -1], [0, 7, 254, 255]),
        (0, [0, 7, 8, 9], [255, 7, 8, 9]),
    ],
)
def test_pixels_without_a_class_have_the_largest_number(ignore_label, labels, written, tmp_path):
    coco = CocoResults(tmp_path / "found.json")
    coco.add("one.jpg", (2, 2), SemanticResult(torch.tensor(labels).reshape(2, 2), ignore_label))
    read = np.array(Image.open(tmp_path / coco.annotations[0]["file_name"]))
    assert read.ravel().tolist() == written
