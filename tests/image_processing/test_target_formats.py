"""Every form of targets that people bring becomes the same target, or is refused."""

import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from backbonekit.contract.labels import Labels
from backbonekit.contract.processing import Processing
from backbonekit.contract.targets import TargetReader
from backbonekit.errors import ContractError
from backbonekit.image_processing.coco import coco_targets
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.image_processing.target_formats import read_target
from backbonekit.postprocessing.coco_entries import encode_mask

SIZE = (20, 30)
PLAIN = {"boxes": [[5.0, 4, 15, 10]], "labels": [1]}
OBJECT = {"bbox": [5, 4, 10, 6], "category_id": 1}
FCOS = TargetReader("fcos", (("boxes", "labels"),))


def read(given, **options):
    return read_target(given, SIZE, image=0, **options)


@dataclass
class Detections:
    xyxy: np.ndarray
    class_id: np.ndarray | None = None
    mask: np.ndarray | None = None


@pytest.fixture
def supervision(monkeypatch):
    """A class as supervision has it; the package is not installed here."""
    monkeypatch.setitem(sys.modules, "supervision", types.ModuleType("supervision"))
    monkeypatch.setattr(Detections, "__module__", "supervision.detection.core")
    return Detections


def boxes(values, form):
    return tv_tensors.BoundingBoxes(torch.tensor([values]), format=form, canvas_size=SIZE)


@pytest.mark.parametrize(
    "given",
    [
        PLAIN,
        {"boxes": np.array([[5, 4, 15, 10]]), "labels": np.array([1])},
        [OBJECT],
        OBJECT,
        [OBJECT, {**OBJECT, "iscrowd": 1}, {**OBJECT, "bbox": [5, 4, 0, 6]}],
        {"image_id": 3, "annotations": [OBJECT]},
        {"boxes": [[1 / 3, 7 / 20, 1 / 3, 6 / 20]], "class_labels": [1]},
        {"boxes": boxes([5, 4, 15, 10], "XYXY"), "labels": torch.tensor([1])},
        {"boxes": boxes([5, 4, 10, 6], "XYWH"), "labels": torch.tensor([1])},
        {"boxes": boxes([10, 7, 10, 6], "CXCYWH"), "labels": torch.tensor([1])},
    ],
)
def test_all_forms_of_boxes_are_one(given) -> None:
    target = read(given, readers=[FCOS])
    torch.testing.assert_close(target["boxes"], torch.tensor(PLAIN["boxes"]))
    assert type(target["boxes"]) is torch.Tensor
    assert target["labels"].tolist() == [1]
    assert target["labels"].dtype == torch.int64
    assert "masks" not in target


def test_detections_of_supervision(supervision) -> None:
    masks = np.zeros((1, *SIZE), bool)
    target = read(supervision(np.array(PLAIN["boxes"]), np.array([1]), masks))
    assert target["boxes"].tolist() == PLAIN["boxes"]
    assert target["masks"].shape == (1, *SIZE)
    processor = ImageProcessor(Processing())
    image = np.zeros((*SIZE, 3), np.uint8)
    for targets in (supervision(np.array(PLAIN["boxes"]), np.array([1])), [target]):
        assert processor(image, targets)["targets"][0]["labels"].tolist() == [1]
    with pytest.raises(ContractError, match="without class_id"):
        read(supervision(np.array(PLAIN["boxes"])))


@pytest.mark.parametrize("mode", ["L", "P", "I", "I;16"])
def test_a_segmentation_may_be_an_image(mode) -> None:
    labels = np.arange(20 * 30, dtype=np.uint8).reshape(SIZE) % 7
    image = Image.fromarray(labels.astype(np.uint16 if mode == "I;16" else np.int32 if mode == "I" else np.uint8))
    if mode == "P":
        image = Image.fromarray(labels, mode="L").convert("P", palette=Image.Palette.ADAPTIVE)
        labels = np.asarray(image)
    assert image.mode == mode
    target = read({"segmentation": image})
    assert target["segmentation"].dtype == torch.int64
    assert np.array_equal(target["segmentation"].numpy(), labels)
    given = read({"segmentation": tv_tensors.Mask(torch.from_numpy(labels.astype(np.int32)))})
    assert torch.equal(given["segmentation"], target["segmentation"])
    with pytest.raises(ContractError, match="mode RGB: colours"):
        read({"segmentation": image.convert("RGB")})


def test_masks_may_be_images_and_run_lengths() -> None:
    mask = np.zeros(SIZE, bool)
    mask[4:10, 5:15] = True
    polygon = [[5, 4, 15, 4, 15, 10, 5, 10]]
    runs = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel("F"), [False]])))
    counts = np.diff(np.concatenate([[0], runs, [mask.size]])).tolist()
    for given in (
        {"labels": [1], "masks": [Image.fromarray(mask)]},
        {"labels": [1], "masks": [mask]},
        {"class_labels": [1], "mask_labels": torch.from_numpy(mask)[None].float()},
        {"labels": [1], "masks": tv_tensors.Mask(torch.from_numpy(mask)[None])},
        [{**OBJECT, "segmentation": polygon}],
        [{**OBJECT, "segmentation": encode_mask(mask)}],
        [{**OBJECT, "segmentation": {"size": list(SIZE), "counts": counts}}],
    ):
        target = read(given)
        assert target["masks"].dtype == torch.bool
        assert np.array_equal(target["masks"].numpy(), mask[None]), given


def test_compressed_run_lengths_of_many_lengths() -> None:
    generator = np.random.default_rng(0)
    for share in (0.02, 0.5, 0.98):
        mask = generator.random((70, 90)) < share
        given = [{"bbox": [1, 1, 50, 50], "category_id": 0, "segmentation": encode_mask(mask)}]
        assert np.array_equal(coco_targets(given, size=(70, 90))["masks"][0].numpy(), mask)


def test_categories_become_classes() -> None:
    objects = [{**OBJECT, "category_id": 18, "keypoints": [5, 5, 2, 0, 0, 0]}, {**OBJECT, "category_id": 3}]
    categories = [{"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]
    for given in (categories, {3: 0, 18: 1}, Labels(("car", "dog"), category_ids=(3, 18))):
        target = coco_targets(objects, given)
        assert target["labels"].tolist() == [1, 0]
        assert set(target) == {"boxes", "labels"}
    assert coco_targets({"annotations": objects[:1]}, categories)["keypoints"].shape == (1, 2, 3)
    assert coco_targets([], categories, size=SIZE)["masks"].shape == (0, *SIZE)
    assert coco_targets([], categories)["boxes"].shape == (0, 4)
    with pytest.raises(ContractError, match="category_id 18 is none of the categories: 1, 2"):
        coco_targets(objects, {1: 0, 2: 1})
    assert coco_targets([{**OBJECT, "category_id": 1}], Labels(("car", "dog")))["labels"].tolist() == [1]
    with pytest.raises(ContractError, match="category_id 18 is none of the categories: 0, 1"):
        coco_targets(objects, Labels(("car", "dog")))
    with pytest.raises(ContractError, match="categories are COCO's"):
        coco_targets(objects, ["car", "dog"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bbox": [[1, 2, 3, 4]], "labels": [1]}, "fcos reads boxes .*'bbox' is not read"),
        ({"boxes": [[25.0, 4, 10, 9]], "labels": [1]}, "x0 <= x1"),
        ({"boxes": [[0.1, 0.2, 0.3, 0.4]], "labels": [1]}, "relative"),
        ({"boxes": [[31.0, 4, 40, 9]], "labels": [1]}, "outside its image of 20 x 30"),
        ({"boxes": [[5.0, 4, 15, 10]], "class_labels": [1]}, "in 0..1 of the image"),
        ([{"bbox": [5, 4, -10, 6], "category_id": 1}], "negative size"),
        ([{"bbox": [5, 4, 10, 6]}], "a bbox .* and a category_id"),
        ({"annotations": 3}, "annotations of an image are COCO's"),
        ([{"bbox": [35, 4, 10, 6], "category_id": 1}], "outside its image"),
        ("boxes.json", "is of type str"),
        ({"boxes": [[5.0, 4, 15, 10]], "labels": [1.5]}, r"labels holds \[1.5\]; a class is a whole number"),
        ({"class": 0.5}, "class holds .*whole number"),
        ({"boxes": boxes([5, 4, 15, 10], "XYXY").new_tensor([[1]]), "labels": [1]}, "boxes"),
        ({"keypoints": [[[0.4, 0.5, 2.0], [0.7, 0.1, 2.0]]]}, "relative"),
        ({"boxes": [[5.0, 4, 15, 10]], "labels": [1], "iscrowd": [0, 1]}, "2 iscrowd and 1 labels"),
        (
            {"boxes": tv_tensors.BoundingBoxes(torch.rand(1, 4), format="XYXY", canvas_size=(9, 9)), "labels": [1]},
            "boxes are of a canvas",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(given, says) -> None:
    with pytest.raises(ContractError, match=says):
        read(given, readers=[FCOS])


def test_boxes_are_cut_and_points_outside_are_not_annotated() -> None:
    target = read({**PLAIN, "boxes": [[-5.0, 4, 35, 25]], "keypoints": [[[40.0, 5, 2], [5, 5, 1]]]})
    assert target["boxes"].tolist() == [[0.0, 4.0, 30.0, 20.0]]
    assert target["keypoints"].tolist() == [[[40.0, 5.0, 0.0], [5.0, 5.0, 1.0]]]


def test_crowds_leave_every_key() -> None:
    target = read({"boxes": [[1.0, 1, 9, 9], [2, 2, 20, 12]], "labels": [1, 2], "iscrowd": [1, 0], "area": [64, 180]})
    assert target["labels"].tolist() == [2]
    assert target["boxes"].tolist() == [[2.0, 2.0, 20.0, 12.0]]


def test_annotations_of_one_image_are_a_list() -> None:
    processor, image = ImageProcessor(Processing()), np.zeros((*SIZE, 3), np.uint8)
    for targets in ([OBJECT, OBJECT], [[OBJECT, OBJECT]], {"image_id": 1, "annotations": [OBJECT, OBJECT]}):
        assert processor(image, targets)["targets"][0]["labels"].tolist() == [1, 1]
    with pytest.raises(ContractError, match=r"2 images and 3 targets.*one list of COCO's annotations"):
        processor([image, image], [OBJECT] * 3)
