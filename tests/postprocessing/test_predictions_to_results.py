"""Every kind of prediction comes back in the image's own pixels: padding, crop and resize undone."""

from dataclasses import dataclass

import pytest
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import BoxQueries, ClassScores, DenseDepth, DenseLogits, MaskQueries, Prediction
from backbonekit.contract.processing import Geometry, Processing
from backbonekit.contract.results import InstanceResult, PanopticResult, SemanticResult
from backbonekit.errors import RecipeError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.postprocessing import window
from backbonekit.postprocessing.instance import mask_boxes
from backbonekit.postprocessing.result_kinds import summarise
from backbonekit.postprocessing.results import choose_task, to_results
from backbonekit.visualization.draw import draw

# A 480 x 640 image at half size on a canvas that a portrait made taller: 40 % of it is padding.
PADDED = Geometry((480, 640), (240, 320), (0, 0), (240, 320), (400, 320))
PLAIN = Geometry((48, 64), (48, 64), (0, 0), (48, 64), (48, 64))
NULL = "softmax_with_null"


def masks_prediction(masks: torch.Tensor, labels: list[int], classes: int = 4, certainty: float = 12.0) -> MaskQueries:
    class_logits = torch.full((1, len(labels), classes + 1), 0.0)
    for query, label in enumerate(labels):
        class_logits[0, query, label] = certainty
    return MaskQueries(class_logits, torch.where(masks, 10.0, -10.0)[None])


def on_grid(geometry: Geometry, stride: int) -> torch.Tensor:
    """True on the cells of real pixels."""
    grid = torch.zeros(geometry.canvas[0] // stride, geometry.canvas[1] // stride, dtype=torch.bool)
    grid[: geometry.shown[0] // stride, : geometry.shown[1] // stride] = True
    return grid


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_mask_over_the_whole_image_covers_all_of_it(task, stride):
    everything = on_grid(PADDED, stride)
    prediction = masks_prediction(torch.stack([everything, ~everything]), [2, 1])
    (result,) = to_results(prediction, [PADDED], scoring=NULL, task=task)
    if isinstance(result, SemanticResult):
        assert result.segmentation.shape == (480, 640)
        assert (result.segmentation == 2).all()
    elif isinstance(result, InstanceResult):
        assert result.labels.tolist() == [2]  # the other lives on padding alone
        assert result.masks is not None
        assert result.masks.shape == (1, 480, 640)
        assert result.masks.all()
        assert result.boxes_xyxy.tolist() == [[0, 0, 640, 480]]
    else:
        assert isinstance(result, PanopticResult)
        assert (result.segmentation == 1).all()
        assert [segment.label for segment in result.segments] == [2]


def test_the_same_through_the_processor_in_a_mixed_batch():
    processor = ImageProcessor(Processing(shortest_edge=64, longest_edge=110, size_divisor=32))
    sizes = [(48, 64), (90, 30), (33, 47)]
    _, geometries = processor.prepare([torch.zeros(3, *size) for size in sizes])
    mask_logits = torch.stack([torch.where(on_grid(geometry, 4), 9.0, -9.0)[None] for geometry in geometries])
    class_logits = torch.tensor([9.0, 0.0, 0.0]).expand(3, 1, 3)
    results = to_results(MaskQueries(class_logits, mask_logits), geometries, scoring=NULL, task="instance")
    for size, result in zip(sizes, results, strict=True):
        assert isinstance(result, InstanceResult)
        assert result.masks is not None
        assert result.masks.shape == (1, *size)
        assert result.masks.all()


def test_dense_logits_leave_padding_out():
    logits = torch.zeros(1, 3, 100, 80)
    logits[:, 1, :60] = 5.0
    logits[:, 2, 60:] = 50.0  # padding, and loud
    (result,) = to_results(DenseLogits(logits), [PADDED], scoring="softmax")
    assert isinstance(result, SemanticResult)
    assert result.segmentation.dtype == torch.int64
    assert (result.segmentation == 1).all()


def test_one_sigmoid_class_leaves_background():
    logits = torch.full((1, 1, 48, 64), -3.0)
    logits[..., :20] = 3.0
    (result,) = to_results(DenseLogits(logits), [PLAIN], scoring="sigmoid")
    assert result.segmentation.unique().tolist() == [0, 1]
    assert (result.segmentation == 1).sum() == 48 * 20
    assert (result.classes() == 0).sum() == 48 * 20  # by which it is named
    assert result.classes().unique().tolist() == [-1, 0]
    (all_of_it,) = to_results(DenseLogits(logits), [PLAIN], scoring="sigmoid", threshold=0.0)
    assert (all_of_it.segmentation == 1).all()
    (by_softmax,) = to_results(DenseLogits(logits), [PLAIN], scoring="softmax")
    assert torch.equal(by_softmax.segmentation, result.segmentation)  # a softmax over one class would be 1 everywhere


def test_masks_of_one_class_leave_background():
    masks = torch.zeros(1, 48, 64, dtype=torch.bool)
    masks[..., :20] = True
    (result,) = to_results(masks_prediction(masks, [0], classes=1), [PLAIN], scoring=NULL, task="semantic")
    assert torch.equal(result.segmentation == 1, masks[0])
    assert result.is_binary


def test_several_sigmoid_classes_leave_the_ignored_label():
    logits = torch.full((1, 2, 48, 64), -3.0)
    logits[:, 1, :, :20] = 3.0
    (result,) = to_results(DenseLogits(logits), [PLAIN], scoring="sigmoid", ignore_label=-1)
    assert result.segmentation.unique().tolist() == [-1, 1]
    assert torch.equal(result.classes(), result.segmentation)


def test_with_more_than_255_classes_class_255_is_one_like_the_others():
    logits = torch.zeros(1, 300, 48, 64)
    logits[:, 255] = 5.0
    (result,) = to_results(DenseLogits(logits), [PLAIN], scoring="softmax", ignore_label=-1)
    assert (result.classes() == 255).all()
    assert summarise(result, None) == "class 255 100%"
    blank = Image.new("RGB", (64, 48))
    assert draw(blank, result).tobytes() != blank.tobytes()


def test_an_image_may_have_several_classes_or_none():
    logits = torch.tensor([[2.0, -2.0, 1.0], [-1.0, -2.0, -3.0]])
    two, none = to_results(ClassScores(logits), [PLAIN, PLAIN], scoring="sigmoid")
    assert two.labels.tolist() == [0, 2]
    torch.testing.assert_close(two.scores, torch.tensor([2.0, 1.0]).sigmoid())
    assert none.labels.tolist() == []
    most = to_results(ClassScores(logits), [PLAIN, PLAIN], scoring="sigmoid", threshold=0.0)[1]
    assert most.labels.tolist() == [0, 1, 2]


def test_one_class_of_an_image_is_there_or_not():
    there, not_there = to_results(ClassScores(torch.tensor([[1.0], [-1.0]])), [PLAIN, PLAIN], scoring="softmax")
    assert there.labels.tolist() == [0]
    torch.testing.assert_close(there.scores, torch.tensor([1.0]).sigmoid())
    assert not_there.labels.tolist() == []


def test_what_a_centre_crop_hid_is_empty():
    cropped = Geometry((60, 100), (60, 100), (10, 20), (40, 60), (40, 60))
    seen = torch.zeros(60, 100, dtype=torch.bool)
    seen[10:50, 20:80] = True
    (semantic,) = to_results(DenseLogits(torch.ones(1, 1, 10, 15)), [cropped], scoring="softmax")
    assert torch.equal(semantic.segmentation != 255, seen)
    (depth,) = to_results(DenseDepth(torch.ones(1, 10, 15)), [cropped], scoring="softmax")
    assert torch.equal(~depth.depth.isnan(), seen)
    prediction = masks_prediction(torch.ones(1, 10, 15, dtype=torch.bool), [0])
    (panoptic,) = to_results(prediction, [cropped], scoring=NULL, task="panoptic")
    assert torch.equal(panoptic.segmentation == 1, seen)
    (instance,) = to_results(prediction, [cropped], scoring=NULL, task="instance")
    assert torch.equal(instance.masks[0], seen)
    (boxes,) = to_results(
        BoxQueries(torch.full((1, 1, 2), 5.0), torch.tensor([[[0.5, 0.5, 1.0, 1.0]]])), [cropped], scoring="sigmoid"
    )
    assert boxes.boxes_xyxy[0].tolist() == [20, 10, 80, 50]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 5), (3, 2)])
def test_a_tiny_image_comes_back(size):
    processor = ImageProcessor(Processing(shortest_edge=64, crop=(56, 56)))
    batch, geometries = processor.prepare(torch.rand(3, *size))
    height, width = batch["pixel_values"].shape[-2:]
    (result,) = to_results(DenseLogits(torch.randn(1, 3, height // 4, width // 4)), geometries, scoring="softmax")
    assert result.segmentation.shape == size
    assert (result.segmentation < 3).any()


@pytest.mark.parametrize("task", ["semantic", "panoptic"])
def test_strips_change_nothing(task, monkeypatch):
    prediction = MaskQueries(torch.randn(1, 12, 6) * 3, torch.randn(1, 12, 25, 20) * 4)

    def segmentation() -> torch.Tensor:
        results = to_results(prediction, [PADDED], scoring=NULL, task=task, threshold=0.3, overlap_threshold=0.05)
        return results[0].segmentation

    whole = segmentation()
    assert len(whole.unique()) > 2
    monkeypatch.setattr(window, "_VALUES_AT_ONCE", 30_000)
    assert torch.equal(segmentation(), whole)


def test_boxes_are_relative_to_the_image_without_its_padding():
    boxes = torch.tensor([[[0.5, 0.5, 1.0, 1.0], [0.25, 0.75, 0.5, 0.5], [0.9, 0.9, 0.6, 0.6]]])
    logits = torch.tensor([[[4.0, -9.0], [-9.0, 2.0], [3.0, -9.0]]])
    (result,) = to_results(BoxQueries(logits, boxes), [PADDED], scoring="sigmoid")
    assert result.labels.tolist() == [0, 0, 1]
    expected = [[0, 0, 640, 480], [384, 288, 640, 480], [0, 240, 320, 480]]  # the second is cut to the image
    assert torch.allclose(result.boxes_xyxy, torch.tensor(expected, dtype=torch.float32), atol=1e-3)
    assert result.scores.tolist() == sorted(result.scores.tolist(), reverse=True)
    assert result.masks is None


def test_nothing_found_is_an_empty_result():
    prediction = MaskQueries(torch.tensor([[[0.0, 0.0, 9.0]]]), torch.ones(1, 1, 12, 16))
    (panoptic,) = to_results(prediction, [PLAIN], scoring=NULL, task="panoptic")
    assert panoptic.segments == []
    assert not panoptic.segmentation.any()
    assert panoptic.segmentation.shape == (48, 64)
    (instance,) = to_results(prediction, [PLAIN], scoring=NULL, task="instance")
    assert instance.masks.shape == (0, 48, 64)
    assert instance.boxes_xyxy.shape == (0, 4)
    (boxes,) = to_results(BoxQueries(torch.full((1, 3, 2), -9.0), torch.rand(1, 3, 4)), [PLAIN], scoring="sigmoid")
    assert boxes.boxes_xyxy.shape == (0, 4)


def test_stuff_is_one_segment_and_each_thing_its_own():
    left = torch.zeros(48, 64, dtype=torch.bool)
    masks = torch.stack([left.clone() for _ in range(5)])
    for strip in range(5):
        masks[strip, :, strip * 13 : (strip + 1) * 13] = True
    prediction = masks_prediction(masks, [0, 1, 0, 1, 0])
    labels = Labels(("person", "sky", "a", "b"), things=frozenset({0}))
    (result,) = to_results(prediction, [PLAIN], scoring=NULL, labels=labels)
    assert [(segment.identifier, segment.label, segment.was_fused) for segment in result.segments] == [
        (1, 0, False),
        (2, 1, True),
        (3, 0, False),
        (4, 0, False),
    ]
    assert [int(result.segmentation[5, 13 * strip + 3]) for strip in range(5)] == [1, 2, 3, 2, 4]


def test_instances_leave_stuff_out_when_labels_tell():
    masks = torch.ones(2, 12, 16, dtype=torch.bool)
    labels = Labels(("person", "sky", "a", "b"), things=frozenset({0, 2}))
    (result,) = to_results(masks_prediction(masks, [0, 1]), [PLAIN], scoring=NULL, task="instance", labels=labels)
    assert result.labels.tolist() == [0]
    (best,) = to_results(masks_prediction(masks, [0, 2]), [PLAIN], scoring=NULL, task="instance", top_k=1)
    assert len(best.labels) == 1


def test_top_classes():
    (result,) = to_results(ClassScores(torch.tensor([[1.0, 3.0, 2.0]])), [PLAIN], scoring="softmax", top_k=2)
    assert result.labels.tolist() == [1, 2]
    assert torch.allclose(result.scores, torch.tensor([1.0, 3.0, 2.0]).softmax(0)[[1, 2]])
    (few,) = to_results(ClassScores(torch.tensor([[1.0, 9.0, 2.0]])), [PLAIN], scoring="softmax", threshold=0.5)
    assert few.labels.tolist() == [1]


def test_half_precision_is_taken():
    for dtype in (torch.float16, torch.bfloat16):
        prediction = MaskQueries(torch.randn(1, 4, 3).to(dtype), torch.randn(1, 4, 12, 16).to(dtype))
        for task in ("semantic", "instance", "panoptic"):
            assert len(to_results(prediction, [PLAIN], scoring=NULL, task=task)) == 1


def test_the_task_follows_from_labels():
    prediction = masks_prediction(torch.ones(1, 3, 3, dtype=torch.bool), [0])
    names = ("a", "b", "c", "d")
    assert choose_task(prediction) == "instance"
    assert choose_task(prediction, labels=Labels(names)) == "instance"
    assert choose_task(prediction, labels=Labels(names, frozenset({1}))) == "panoptic"
    assert choose_task(prediction, labels=Labels(names, frozenset())) == "semantic"
    assert choose_task(prediction, labels=Labels(names, frozenset(range(4)))) == "instance"


def test_a_task_that_the_prediction_does_not_have_raises():
    with pytest.raises(RecipeError, match=r"task='panoptic'.*DenseLogits.*semantic"):
        to_results(DenseLogits(torch.zeros(1, 2, 3, 3)), [PLAIN], scoring="softmax", task="panoptic")
    with pytest.raises(RecipeError, match="did you mean 'panoptic'"):
        to_results(masks_prediction(torch.ones(1, 3, 3) > 0, [0]), [PLAIN], scoring=NULL, task="panoptc")

    @dataclass
    class Unheard(Prediction):
        values: torch.Tensor

    with pytest.raises(RecipeError, match="Unheard has no post-processing"):
        to_results(Unheard(torch.zeros(1)), [PLAIN], scoring="softmax")


def test_boxes_of_masks():
    masks = torch.zeros(2, 9, 9, dtype=torch.bool)
    masks[0, 4, 5] = True
    masks[1, 1:4, 2:] = True
    assert mask_boxes(masks).tolist() == [[5, 4, 6, 5], [2, 1, 9, 4]]
