"""The processor over the ways to resize, crop and pad."""

import numpy as np
import pytest
import torch
from processor_tester import ProcessorTester

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.postprocessing.boxes import on_original
from backbonekit.postprocessing.window import resample, window_of


class TestStretched(ProcessorTester):
    processing = Processing(size=(32, 48))


class TestShortestEdge(ProcessorTester):
    processing = Processing(shortest_edge=40, longest_edge=66, size_divisor=32)


class TestLongestEdge(ProcessorTester):
    processing = Processing(longest_edge=64, canvas=(64, 64), interpolation="bicubic")


class TestLeastChange(ProcessorTester):
    processing = Processing(size=(42, 56), keep_aspect_ratio=True, multiple_of=14, interpolation="bicubic")


class TestCropped(ProcessorTester):
    processing = Processing(shortest_edge=48, crop=(40, 40), interpolation="bicubic")


class TestCropLargerThanTheImage(ProcessorTester):
    processing = Processing(shortest_edge=30, crop=(36, 70))


class TestWithin(ProcessorTester):
    processing = Processing(max_size=(40, 66), size_divisor=16)


class TestWithinOnAColour(ProcessorTester):
    processing = Processing(max_size=(40, 66), crop=(40, 66), border="mean", rounding="nearest")


class TestAsItIs(ProcessorTester):
    processing = Processing()


class TestDivisorAlone(ProcessorTester):
    processing = Processing(size_divisor=14, interpolation="lanczos")


class TestGrey(ProcessorTester):
    processing = Processing(size=(28, 28), mean=(0.5,), std=(0.25,))


class TestNineChannels(ProcessorTester):
    processing = Processing(longest_edge=32, mean=(0.1,) * 9, std=(2.0,) * 9)


def test_one_image_many_images_and_a_stack_are_taken():
    processor = ImageProcessor(Processing(size=(8, 8)))
    image = np.zeros((5, 6, 3), np.uint8)
    assert processor(image)["pixel_values"].shape == (1, 3, 8, 8)
    assert processor((image, image))["pixel_values"].shape == (2, 3, 8, 8)
    assert processor(np.stack([image] * 3))["pixel_values"].shape == (3, 3, 8, 8)
    assert processor(torch.rand(4, 3, 5, 6))["pixel_values"].shape == (4, 3, 8, 8)


def test_values_are_normalised_as_written():
    processor = ImageProcessor(Processing(mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0)))
    values = processor(np.full((2, 2, 3), 255, np.uint8))["pixel_values"]
    assert torch.allclose(values[0, :, 0, 0], torch.tensor([1.0, 0.75, 0.5]))
    grey = processor(np.full((2, 2), 255, np.uint8))["pixel_values"]
    assert torch.equal(values, grey)
    sixteen = processor(np.full((2, 2), 65_535, np.uint16))["pixel_values"]
    assert torch.allclose(values, sixteen)


def test_an_image_of_many_channels():
    processor = ImageProcessor(Processing(mean=(0.0,) * 300, std=(1.0,) * 300))
    assert processor(np.ones((4, 4, 300), np.float32))["pixel_values"].shape == (1, 300, 4, 4)


@pytest.mark.parametrize(
    ("processing", "says"),
    [
        (Processing(size=(8, 8), shortest_edge=8), "two ways"),
        (Processing(size=(8, 8), max_size=(8, 8)), "max_size and processing.size are two ways"),
        (Processing(longest_edge=8, max_size=(8, 8)), "max_size and processing.shortest_edge/longest_edge"),
        (Processing(mean=(0.5,)), "one for each channel"),
        (Processing(std=(0.0, 1.0, 1.0)), r"processing\.std\.0: given 0\.0, must be a number from 1e-06"),
        (Processing(std=(float("nan"), 1.0, 1.0)), r"processing\.std\.0: given nan"),
        (Processing(mean=(10**400, 1.0, 1.0)), r"processing\.mean\.0: given a whole number of about 400 digits"),
        (Processing(shortest_edge=2.5), r"processing\.shortest_edge: given 2\.5, must be a whole number"),
        (Processing(interpolation="cubic"), r"processing\.interpolation: .*did you mean 'bicubic'"),
        (Processing(size_divisor=0), r"processing\.size_divisor: given 0, must be a whole number from 1"),
        (Processing(shortest_edge=8, keep_aspect_ratio=True), r"give processing\.size"),
        (Processing(size=(8, 8), multiple_of=14), "keep_aspect_ratio: true"),
        (Processing(crop=(0, 5)), r"processing\.crop\.0: given 0, must be a whole number from 1"),
    ],
)
def test_an_impossible_processing_raises(processing, says):
    with pytest.raises(RecipeError, match=says):
        ImageProcessor(processing)


def test_what_does_not_fit_raises(tmp_path):
    processor = ImageProcessor(Processing(canvas=(16, 16)))
    with pytest.raises(ContractError, match="fixed canvas of 16 x 16"):
        processor(np.zeros((17, 5, 3), np.uint8))
    with pytest.raises(ContractError, match="no images"):
        processor([])
    with pytest.raises(ContractError, match="1 images and 2 targets"):
        processor(np.zeros((5, 5, 3), np.uint8), [{}, {}])
    with pytest.raises(ContractError, match="its image 5 x 5"):
        processor(np.zeros((5, 5, 3), np.uint8), {"masks": np.zeros((1, 4, 5), bool)})
    with pytest.raises(StorageError, match="no such image"):
        processor([tmp_path / "none.png"])
    with pytest.raises(ContractError, match="longest_edge"):
        ImageProcessor(Processing(shortest_edge=800))(np.zeros((1, 5000, 3), np.uint8))


def test_objects_outside_a_crop_leave_every_key():
    processor = ImageProcessor(Processing(crop=(10, 10)))
    masks = np.zeros((2, 10, 30), bool)
    masks[0, :, :5] = masks[1, 2:5, 12:28] = True
    target = {
        "labels": [1, 2],
        "boxes": [[0, 0, 5, 10], [12, 2, 28, 5]],
        "masks": masks,
        "keypoints": [[[2.0, 2.0, 2.0]], [[25.0, 3.0, 2.0]]],
    }
    moved = processor(np.zeros((10, 30, 3), np.uint8), target)["targets"][0]
    assert moved["labels"].tolist() == [2]
    assert moved["boxes"].tolist() == [[2.0, 2.0, 10.0, 5.0]]
    assert moved["masks"].shape == (1, 10, 10)
    assert moved["keypoints"][0, 0, 2] == 0  # cut off, so not visible


def test_a_border_is_padding_of_every_target_and_results_come_back():
    processor = ImageProcessor(Processing(shortest_edge=10, crop=(14, 31)))
    image = np.full((10, 20, 3), 255, np.uint8)
    target = {
        "labels": [1],
        "boxes": [[0, 0, 20, 10]],
        "masks": np.ones((1, 10, 20)),
        "segmentation": np.zeros((10, 20)),
        "depth": np.ones((10, 20)),
        "keypoints": [[[1.5, 2.5, 2.0]]],
    }
    batch, (geometry,) = processor.prepare(image, target)
    (moved,) = batch["targets"]
    bright = batch["pixel_values"][0, 0] > 0
    assert bright.nonzero().amin(0).tolist() == [2, 6]
    assert bright.sum() == 200
    assert moved["boxes"].tolist() == [[6.0, 2.0, 26.0, 12.0]]
    assert moved["keypoints"].tolist() == [[[7.5, 4.5, 2.0]]]
    assert torch.equal(moved["masks"][0], bright)
    assert torch.equal(moved["segmentation"] == 255, ~bright)
    assert torch.equal(moved["depth"].isnan(), ~bright)
    assert on_original(moved["boxes"], geometry).tolist() == [[0.0, 0.0, 20.0, 10.0]]
    seen = resample(bright[None].float(), window_of(geometry, (14, 31)))
    assert torch.equal(seen, torch.ones(1, 10, 20))


def test_collate_pads_what_augmentation_made():
    processor = ImageProcessor(Processing(size=(99, 99), size_divisor=8))
    target = {"labels": [1], "masks": np.ones((1, 9, 5)), "image_id": "kept"}
    samples = [{"pixel_values": torch.ones(3, 9, 5), "target": target}, (torch.ones(3, 4, 11), None)]
    batch = processor.collate(samples)
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    assert batch["pixel_mask"].flatten(1).sum(1).tolist() == [45, 44]
    assert batch["targets"][0]["masks"].shape == (1, 16, 16)
    assert batch["targets"][0]["masks"].sum() == 45
    assert batch["targets"][0]["image_id"] == "kept"
    assert batch["targets"][1] == {}
    alone = processor.collate([torch.ones(3, 8, 8)])
    assert alone["pixel_mask"] is None
    assert "targets" not in alone


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "no samples"),
        ([{"image": 1}], "'pixel_values'"),
        ([np.zeros((3, 4, 4))], "normalised float tensors"),
        ([torch.zeros(3, 4, 4, dtype=torch.uint8)], "normalised float tensors"),
        ([torch.zeros(1, 4, 4)], "takes 3 channels"),
        ([(torch.zeros(3, 4, 4), [1])], "has a bbox .* and a category_id"),
        ([(torch.zeros(3, 4, 4), 1)], "is of type int; a target is a dict"),
        ([(torch.zeros(3, 4, 4), {"depth": np.zeros((4, 3))})], "must agree"),
    ],
)
def test_collate_tells_what_is_wrong(samples, says):
    with pytest.raises(ContractError, match=says):
        ImageProcessor(Processing()).collate(samples)
