"""Where nothing is padded, results equal transformers' from random predictions, in double precision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits, MaskQueries
from backbonekit.contract.processing import Geometry
from backbonekit.postprocessing.results import to_results

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

NULL = "softmax_with_null"
ORIGINALS = [(64, 96), (97, 131), (35, 33)]


def unpadded(size: tuple[int, int], canvas: tuple[int, int] = (64, 96)) -> Geometry:
    return Geometry(size, canvas, (0, 0), canvas, canvas)


def smooth(*shape: int) -> torch.Tensor:
    """Random blobs: noise of one cell would leave no segment large enough to be kept."""
    coarse = torch.randn(shape[0], shape[1], 4, 5, dtype=torch.float64) * 6
    return functional.interpolate(coarse, size=shape[2:], mode="bicubic")


@pytest.fixture
def prediction() -> MaskQueries:
    return MaskQueries(torch.randn(3, 20, 8, dtype=torch.float64) * 4, smooth(3, 20, 16, 24))


@pytest.fixture
def theirs():
    return transformers.models.maskformer.image_processing_maskformer.MaskFormerImageProcessor()


def outputs(prediction: MaskQueries) -> SimpleNamespace:
    return SimpleNamespace(class_queries_logits=prediction.class_logits, masks_queries_logits=prediction.mask_logits)


def test_semantic(prediction, theirs):
    expected = theirs.post_process_semantic_segmentation(outputs(prediction), target_sizes=ORIGINALS)
    results = to_results(prediction, [unpadded(size) for size in ORIGINALS], scoring=NULL, task="semantic")
    for result, segmentation in zip(results, expected, strict=True):
        assert torch.equal(result.segmentation, segmentation)


@pytest.mark.parametrize(("overlap", "queries"), [(0.8, 4), (0.05, 20)])
@pytest.mark.parametrize("fused", [set(), {0, 2, 5}])
def test_panoptic(theirs, fused, overlap, queries):
    prediction = MaskQueries(torch.randn(3, queries, 8, dtype=torch.float64) * 6, smooth(3, queries, 16, 24))
    expected = theirs.post_process_panoptic_segmentation(
        outputs(prediction), target_sizes=ORIGINALS, label_ids_to_fuse=fused, overlap_mask_area_threshold=overlap
    )
    labels = Labels(tuple("abcdefg"), things=frozenset(range(7)) - fused)
    results = to_results(
        prediction,
        [unpadded(size) for size in ORIGINALS],
        scoring=NULL,
        task="panoptic",
        labels=labels,
        overlap_threshold=overlap,
    )
    found = 0
    for result, reference in zip(results, expected, strict=True):
        found += len(result.segments)
        if not fused:
            assert torch.equal(result.segmentation, reference["segmentation"].long())
            for segment, info in zip(result.segments, reference["segments_info"], strict=True):
                assert (segment.identifier, segment.label) == (info["id"], info["label_id"])
                assert segment.score == pytest.approx(info["score"], abs=1e-5)
        # With fusing, transformers numbers a segment twice; where there is one, and of what class, is comparable.
        assert torch.equal(result.segmentation > 0, reference["segmentation"] > 0)
        fused_labels = [segment.label for segment in result.segments if segment.was_fused]
        assert len(fused_labels) == len(set(fused_labels))
        assert {segment.label for segment in result.segments} == {
            info["label_id"] for info in reference["segments_info"]
        }
    assert found >= 2


def test_instance(theirs):
    prediction = MaskQueries(torch.randn(2, 20, 8, dtype=torch.float64) * 4, smooth(2, 20, 64, 96))
    expected = theirs.post_process_instance_segmentation(
        outputs(prediction), target_sizes=[(64, 96)] * 2, return_binary_maps=True
    )
    results = to_results(prediction, [unpadded((64, 96))] * 2, scoring=NULL, task="instance")
    for result, reference in zip(results, expected, strict=True):
        infos = reference["segments_info"]
        order = np.argsort([-info["score"] for info in infos])
        assert len(order) > 2
        assert result.labels.tolist() == [infos[index]["label_id"] for index in order]
        np.testing.assert_allclose(result.scores, [infos[index]["score"] for index in order], atol=1e-5)
        assert torch.equal(result.masks, reference["segmentation"][order.tolist()].bool())


def test_dense_logits():
    logits = torch.randn(3, 6, 16, 24, dtype=torch.float64)
    theirs = transformers.SegformerImageProcessor()
    expected = theirs.post_process_semantic_segmentation(SimpleNamespace(logits=logits), target_sizes=ORIGINALS)
    results = to_results(DenseLogits(logits), [unpadded(size) for size in ORIGINALS], scoring="softmax")
    for result, segmentation in zip(results, expected, strict=True):
        assert torch.equal(result.segmentation, segmentation)


def test_depth():
    depth = torch.rand(3, 32, 48, dtype=torch.float64)
    theirs = transformers.DPTImageProcessor()
    expected = theirs.post_process_depth_estimation(SimpleNamespace(predicted_depth=depth), target_sizes=ORIGINALS)
    results = to_results(DenseDepth(depth), [unpadded(size) for size in ORIGINALS], scoring="softmax")
    for result, reference in zip(results, expected, strict=True):
        torch.testing.assert_close(result.depth, reference["predicted_depth"].float())


@pytest.mark.parametrize(("name", "scoring"), [("Detr", NULL), ("DeformableDetr", "sigmoid")])
def test_detection(name, scoring):
    centre = torch.rand(3, 15, 2, dtype=torch.float64) * 0.4 + 0.3
    boxes = torch.cat([centre, torch.rand(3, 15, 2, dtype=torch.float64) * 0.5], dim=-1)
    logits = torch.randn(3, 15, 6, dtype=torch.float64) * 2
    theirs = getattr(transformers, f"{name}ImageProcessor")()
    expected = theirs.post_process_object_detection(
        SimpleNamespace(logits=logits, pred_boxes=boxes), threshold=0.5, target_sizes=ORIGINALS
    )
    geometries = [unpadded(size) for size in ORIGINALS]
    results = to_results(
        BoxQueries(logits, boxes), geometries, scoring=scoring, top_k=100 if scoring == "sigmoid" else None
    )
    for result, reference in zip(results, expected, strict=True):
        order = reference["scores"].argsort(descending=True)
        assert len(order) > 2
        assert result.labels.tolist() == reference["labels"][order].tolist()
        torch.testing.assert_close(result.scores, reference["scores"][order].float())
        torch.testing.assert_close(result.boxes_xyxy, reference["boxes"][order].float())
