"""`AutoImageProcessor` for detectors: annotations in, boxes out, equal to transformers' where transformers is right."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from backbonekit import ModelOutput
from backbonekit.contract.predictions import BoxQueries, DenseDepth
from backbonekit.errors import ContractError
from backbonekit.hf_models import AutoImageProcessor
from backbonekit.image_processing.coco import object_mask

SMALL = {"shortest_edge": 40, "longest_edge": 70}
KINDS = {
    "detr": ("DetrImageProcessorPil", {"size": SMALL}),
    "conditional_detr": ("ConditionalDetrImageProcessorPil", {"size": SMALL}),
    "deformable_detr": ("DeformableDetrImageProcessorPil", {"size": SMALL}),
    "rt_detr": ("RTDetrImageProcessorPil", {"size": {"height": 32, "width": 32}}),
}


def processor_of(folder: Path, kind: str | None, **fields) -> AutoImageProcessor:
    named = {} if kind is None else {"image_processor_type": f"{kind}ImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps({**named, "size": SMALL, **fields}))
    return AutoImageProcessor.from_pretrained(folder)


def theirs_of(folder: str, **options):
    module = pytest.importorskip(f"transformers.models.{folder}.image_processing_pil_{folder}")
    name, defaults = KINDS[folder]
    return getattr(module, name)(**{**defaults, **options})


def make_images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def queries(batch: int = 2, number: int = 7, columns: int = 5, seed: int = 0) -> BoxQueries:
    generator = torch.Generator().manual_seed(seed)
    return BoxQueries(
        torch.randn(batch, number, columns, generator=generator) * 2, torch.rand(batch, number, 4, generator=generator)
    )


def annotation(boxes, **more) -> dict:
    return {
        "image_id": 7,
        "annotations": [
            {"bbox": box, "category_id": number, "area": box[2] * box[3] * 0.7, "iscrowd": 0, **more}
            for number, box in enumerate(boxes)
        ],
    }


class Outputs(dict):
    """As transformers has them: a mapping with attributes."""

    @property
    def logits(self):
        return self["logits"]

    @property
    def pred_boxes(self):
        return self["pred_boxes"]


@pytest.mark.parity
@pytest.mark.parametrize("target_sizes", [None, [(50, 61), (24, 30)], torch.tensor([[50, 61], [24, 30]])])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.99])
@pytest.mark.parametrize("folder", sorted(KINDS))
def test_boxes_equal_those_of_transformers(folder, threshold, target_sizes, tmp_path: Path) -> None:
    theirs = theirs_of(folder)
    theirs.save_pretrained(tmp_path)
    ours = AutoImageProcessor.from_pretrained(tmp_path)
    prediction = queries()
    outputs = Outputs(logits=prediction.class_logits, pred_boxes=prediction.boxes_cxcywh)
    ways = [{}]
    if folder in ("conditional_detr", "deformable_detr"):
        ways += [{"top_k": 3}, {"top_k": 10_000}]
    for options in ways:
        expected = theirs.post_process_object_detection(outputs, threshold, target_sizes, **options)
        for given in (outputs, prediction, ModelOutput((), predictions=prediction)):
            found = ours.post_process_object_detection(given, threshold, target_sizes, **options)
            for one, other in zip(found, expected, strict=True):
                assert set(one) == set(other)
                assert torch.equal(one["labels"], other["labels"])
                for key in ("scores", "boxes"):
                    torch.testing.assert_close(one[key], other[key], rtol=1e-5, atol=1e-6)
        if threshold == 0:
            assert all(len(one["scores"]) for one in expected)


@pytest.mark.parity
def test_boxes_scored_by_softmax_of_any_processor(tmp_path: Path) -> None:
    """As of DETR. That of RT-DETR takes its softmax over the images of the batch."""
    prediction = queries()
    expected = theirs_of("detr").post_process_object_detection(
        Outputs(logits=prediction.class_logits, pred_boxes=prediction.boxes_cxcywh), 0.3
    )
    found = processor_of(tmp_path, "RTDetr").post_process_object_detection(prediction, 0.3, use_focal_loss=False)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        torch.testing.assert_close(one["boxes"], other["boxes"], rtol=1e-5, atol=1e-6)


def test_a_processor_that_cannot_know_the_scoring_says_so(tmp_path: Path) -> None:
    prediction = queries()
    for processor in (processor_of(tmp_path, "ViT", size=32), processor_of(tmp_path, None)):
        with pytest.raises(ContractError, match=r"use_focal_loss=False .* or use_focal_loss=True"):
            processor.post_process_object_detection(prediction)
        sigmoid = processor.post_process_object_detection(prediction, 0.5, use_focal_loss=True)
        assert sum(len(one["scores"]) for one in sigmoid) == int(
            (prediction.class_logits.sigmoid() > 0.5).sum().clamp(max=14)
        )
    detr = processor_of(tmp_path, "Detr")
    with pytest.raises(ContractError, match="3 target_sizes for 2"):
        detr.post_process_object_detection(prediction, target_sizes=[(1, 1)] * 3)
    with pytest.raises(ContractError, match="top_k=0"):
        detr.post_process_object_detection(prediction, top_k=0)
    with pytest.raises(ContractError, match="logits and pred_boxes are required; given: DenseDepth"):
        detr.post_process_object_detection(DenseDepth(torch.ones(1, 4, 4)))


@pytest.mark.parity
@pytest.mark.parametrize("folder", sorted(KINDS))
def test_inputs_and_labels_equal_those_of_transformers(folder, tmp_path: Path) -> None:
    """Of images that need no padding, in which both mean the same by a box."""
    theirs = theirs_of(folder)
    theirs.save_pretrained(tmp_path)
    ours = AutoImageProcessor.from_pretrained(tmp_path)
    images = make_images((60, 90), (120, 180))
    # Within; over the border; a crowd; outside; empty.
    targets = [
        annotation([[10, 5, 40, 30], [80, 50, 40, 40], [1, 1, 5, 5], [200, 5, 5, 5], [5, 5, 0, 9]]),
        annotation([]),
    ]
    targets[0]["annotations"][2]["iscrowd"] = 1
    expected = theirs(images, annotations=targets, return_tensors="pt")
    given = ours(images, annotations=targets)
    assert set(given) == set(expected)
    assert (given.pixel_values - expected["pixel_values"]).abs().max() < 1e-4
    for one, other in zip(given.labels, expected["labels"], strict=True):
        assert set(one) == set(other)
        for key, value in one.items():
            assert value.dtype == other[key].dtype, key
            torch.testing.assert_close(value, other[key], rtol=1e-5, atol=1e-6)
    assert len(given.labels[0]["boxes"]) == 2


@pytest.mark.parity
def test_a_box_means_the_same_in_every_batch(tmp_path: Path) -> None:
    """transformers makes it relative to the padded canvas, and its post-processing then returns another box."""
    theirs, ours = theirs_of("detr"), processor_of(tmp_path, "Detr")
    images, box = make_images((40, 60), (60, 40)), [3, 4, 20, 30]
    targets = [annotation([box]), annotation([box])]
    alone = theirs(images[0], annotations=targets[0], return_tensors="pt")["labels"][0]
    padded = theirs(images, annotations=targets, return_tensors="pt")["labels"][0]
    given = ours(images, annotations=targets)
    assert not torch.allclose(alone["boxes"], padded["boxes"])
    torch.testing.assert_close(given.labels[0]["boxes"], alone["boxes"])
    assert padded["size"].tolist() == list(given.pixel_values.shape[-2:])
    assert given.labels[0]["size"].tolist() == alone["size"].tolist() == [40, 60]
    for labels, image in zip(given.labels, images, strict=True):
        perfect = BoxQueries(torch.tensor([[[9.0, 0.0]]]), labels["boxes"][None])
        (found,) = ours.post_process_object_detection(perfect, target_sizes=[image.shape[:2]])
        torch.testing.assert_close(found["boxes"], torch.tensor([[3.0, 4.0, 23.0, 34.0]]))


def test_boxes_in_pixels_where_they_are_not_converted(tmp_path: Path) -> None:
    processor = processor_of(tmp_path, "Detr", do_convert_annotations=False)
    inputs = processor(make_images((80, 120)), annotations=annotation([[8, 10, 20, 30]]))  # halved
    assert inputs.labels[0]["boxes"].tolist() == [[4, 5, 14, 20]]
    assert inputs.to("cpu").labels[0]["class_labels"].tolist() == [0]
    numbers = processor(make_images((80, 120)), annotations=annotation([[8, 10, 20, 30]]), return_tensors="np")
    assert isinstance(numbers.labels[0]["boxes"], np.ndarray)


def test_keypoints_and_masks_move_with_their_image(tmp_path: Path) -> None:
    processor = processor_of(tmp_path, "Detr")
    square = [[10, 20, 50, 20, 50, 60, 10, 60]]
    runs = {"size": [80, 120], "counts": [80 * 100, 80 * 20]}  # the last 20 columns
    target = annotation([[10, 20, 40, 40], [100, 0, 20, 80]], keypoints=[10, 20, 2, 50, 60, 1])
    target["annotations"][0]["segmentation"], target["annotations"][1]["segmentation"] = square, runs
    images = make_images((80, 120), (120, 80))
    inputs = processor(images, annotations=[target, annotation([])], return_segmentation_masks=True)
    labels = inputs.labels[0]
    assert labels["keypoints"][0].tolist() == [[5, 10, 2], [25, 30, 1]]
    assert labels["masks"].shape == (2, 60, 60)  # the canvas of both images
    expected = torch.zeros(2, 60, 60, dtype=torch.bool)
    expected[0, 10:30, 5:25] = expected[1, :40, 50:] = True
    assert torch.equal(labels["masks"], expected)
    assert inputs.labels[1]["masks"].shape == (0, 60, 60)
    assert inputs.labels[1]["boxes"].shape == (0, 4)


def test_a_polygon_covers_the_pixels_whose_centres_it_holds() -> None:
    """By another way: a polygon is what an odd number of the triangles of its fan hold."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[0:33, 0:40] + 0.5
    for corners in (3, 4, 7):
        points = generator.uniform(-5, 45, (corners, 2))
        expected = np.zeros((33, 40), dtype=bool)
        for second, third in pairwise(points[1:]):
            triangle = [points[0], second, third]
            sides = [
                (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0)
                for (x0, y0), (x1, y1) in zip(triangle, [second, third, points[0]], strict=True)
            ]
            expected ^= np.all([side > 0 for side in sides], axis=0) | np.all([side < 0 for side in sides], axis=0)
        assert 0 < expected.sum() < expected.size
        assert np.array_equal(object_mask([points.flatten().tolist()], (33, 40)), expected)
    assert object_mask([], (3, 4)).sum() == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([annotation([]), annotation([])], "1 images and 2 annotations"),
        ({"boxes": [[1, 2, 3, 4]]}, r"an annotation is COCO's.*given: 'boxes'"),
        (["x"], "given: str"),
        ({"annotations": [{"bbox": [1, 2, 3]}]}, "an object of an annotation has a bbox"),
        ({"image_id": "000083.jpg", "annotations": []}, "image_id is '000083.jpg'; a whole number"),
        (
            annotation([[1, 1, 5, 5]], segmentation={"size": [20, 30], "counts": "abc"}),
            "do not fit an image of 20 x 30",
        ),
        (annotation([[1, 1, 5, 5]], segmentation={"size": [20, 30], "counts": [3]}), "of 3 pixels do not fit"),
        (annotation([[1, 1, 5, 5]], segmentation=[[1, 2]]), "three points or more"),
        (annotation([[1, 1, 5, 5]]), "a segmentation is a list of polygons"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(given, says, tmp_path: Path) -> None:
    processor = processor_of(tmp_path, "Detr")
    with pytest.raises(ContractError, match=says):
        processor(make_images((20, 30)), annotations=given, return_segmentation_masks=True)


def test_only_one_kind_of_target_is_accepted(tmp_path: Path) -> None:
    processor = processor_of(tmp_path, "Detr")
    with pytest.raises(ContractError, match="one of them"):
        processor(make_images((20, 30)), np.zeros((20, 30)), annotations=annotation([]))
    (image,), given = make_images((20, 30)), annotation([[1, 2, 9, 8]])
    by_position, by_name = processor(image, given).labels[0], processor(image, annotations=given).labels[0]
    assert torch.equal(by_position["boxes"], by_name["boxes"])
    with pytest.raises(ContractError, match="go into `annotations`"):
        processor_of(tmp_path, "MaskFormer")(image, [given])
