"""Answers of a decoded file: what post-processing returns, for an input that is the image itself."""

import pytest
import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import (
    BoxCandidates,
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    Heatmaps,
    MaskQueries,
)
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.export.decoding import DECODINGS, decoder_of
from backbonekit.postprocessing.results import PREDICTION_KINDS, to_results

SIZE = (40, 56)
SHOWN = (40, 32)  # of the second image; the right of its canvas is padding
WHOLE = Geometry(SIZE, SIZE, (0, 0), SIZE, SIZE)
PADDED = Geometry(SHOWN, SHOWN, (0, 0), SHOWN, SIZE)


def decoded(prediction, *, reading, scoring, things=None, padded=False):
    mask = None
    if padded:
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[1, :, SHOWN[1] :] = False
    return decoder_of(type(prediction), reading, scoring, 255, things)(prediction, SIZE, mask)


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 3


def test_every_kind_with_post_processing_is_decoded_or_is_an_rcnn_s():
    assert {kind.__name__ for kind in set(PREDICTION_KINDS) - set(DECODINGS)} == {"Detections"}


@pytest.mark.parametrize(("classes", "scoring"), [(4, "softmax"), (4, "sigmoid"), (1, "softmax")])
def test_classes_of_pixels(classes, scoring):
    prediction = DenseLogits(numbers(2, classes, 10, 14))
    expected = to_results(prediction, [WHOLE] * 2, scoring=scoring)
    found = decoded(prediction, reading="semantic", scoring=scoring)["segmentation"]
    assert found.equal(torch.stack([one.segmentation for one in expected]))
    assert len(found.unique()) == {4: 4 + (scoring == "sigmoid"), 1: 2}[classes]


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_scores_of_classes(scoring):
    prediction = ClassScores(numbers(2, 6))
    expected = to_results(prediction, [WHOLE] * 2, scoring=scoring, threshold=0.0, top_k=6)
    found = decoded(prediction, reading="classification", scoring=scoring)["scores"]
    torch.testing.assert_close(found.sort(dim=1, descending=True).values, torch.stack([one.scores for one in expected]))


def test_depth():
    prediction = DenseDepth(numbers(2, 10, 14))
    expected = to_results(prediction, [WHOLE] * 2, scoring="distance")
    found = decoded(prediction, reading="depth", scoring="distance")["depth"]
    torch.testing.assert_close(found, torch.stack([one.depth for one in expected]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [4, 1])
def test_classes_of_pixels_from_masks(classes):
    prediction = MaskQueries(numbers(2, 5, classes + 1), numbers(2, 5, 10, 14))
    expected = to_results(prediction, [WHOLE] * 2, scoring="softmax_with_null", task="semantic")
    found = decoded(prediction, reading="semantic", scoring="softmax_with_null")["segmentation"]
    assert found.equal(torch.stack([one.segmentation for one in expected]))
    assert len(found.unique()) > 1


@pytest.mark.parametrize("things", [None, frozenset({1, 2})])
@pytest.mark.parametrize("padded", [False, True])
def test_instances(things, padded):
    prediction = MaskQueries(numbers(2, 7, 5), numbers(2, 7, 10, 14))
    labels = None if things is None else Labels(tuple("abcd"), things=things)
    geometries = [WHOLE, PADDED if padded else WHOLE]
    scoring = "softmax_with_null"
    expected = to_results(prediction, geometries, scoring=scoring, task="instance", labels=labels, threshold=0.01)
    found = decoded(prediction, reading="instance", scoring=scoring, things=things, padded=padded)
    assert found["masks"].shape == (2, 7, *SIZE)
    for index, one in enumerate(expected):
        count = len(one.scores)
        assert count > 1
        torch.testing.assert_close(found["scores"][index, :count], one.scores)
        assert found["labels"][index, :count].equal(one.labels)
        assert (found["scores"][index, count:] < 0.01).all()
        height, width = geometries[index].shown
        differs = found["masks"][index, :count, :height, :width] != one.masks
        # Beside padding the interpolation reads one cell of it, which post-processing leaves out.
        assert differs.float().mean() <= (0.02 if padded and index else 0)


@pytest.mark.parametrize("scoring", ["sigmoid", "softmax_with_null"])
@pytest.mark.parametrize("padded", [False, True])
def test_boxes_of_queries(scoring, padded):
    prediction = BoxQueries(numbers(2, 9, 5), numbers(2, 9, 4).sigmoid())
    expected = to_results(prediction, [WHOLE, PADDED if padded else WHOLE], scoring=scoring, threshold=0.0)
    found = decoded(prediction, reading="detection", scoring=scoring, padded=padded)
    for index, one in enumerate(expected):
        torch.testing.assert_close(found["scores"][index], one.scores)
        torch.testing.assert_close(found["boxes_xyxy"][index], one.boxes_xyxy)
        assert found["labels"][index].equal(one.labels)


def candidates(count):
    """Boxes around a few centres, so that many overlap."""
    generator = torch.Generator().manual_seed(count)
    centres = torch.randint(8, 32, (2, count, 2), generator=generator).float() // 8 * 8
    centres += torch.rand(2, count, 2, generator=generator) * 6
    half = 4 + torch.rand(2, count, 2, generator=generator) * 3
    return torch.cat([centres - half, centres + half], dim=2)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("has_quality", [False, True])
def test_suppression_leaves_what_a_loop_leaves(has_quality, padded):
    counts = (60, 20)
    quality = tuple(numbers(2, count, 1) for count in counts) if has_quality else None
    boxes = tuple(candidates(count) for count in counts)
    prediction = BoxCandidates(tuple(numbers(2, count, 3) for count in counts), boxes, (), (), quality)
    expected = to_results(prediction, [WHOLE, PADDED if padded else WHOLE], scoring="sigmoid", threshold=0.0)
    found = decoded(prediction, reading="detection", scoring="sigmoid", padded=padded)
    for index, one in enumerate(expected):
        count = len(one.scores)
        assert 10 < count < 100  # of 240 pairs of box and class
        torch.testing.assert_close(found["scores"][index, :count], one.scores)
        torch.testing.assert_close(found["boxes_xyxy"][index, :count], one.boxes_xyxy)
        assert found["labels"][index, :count].equal(one.labels)
        assert (found["scores"][index, count:] == 0).all()


def test_keypoints():
    maps = torch.zeros(2, 3, 10, 14)
    maps[0, 0, 4, 7] = maps[1, 2, 2, 3] = 1
    maps[0, 1, 5, 5:7] = 0.5
    prediction = Heatmaps(maps)
    expected = to_results(prediction, [WHOLE] * 2, scoring="distance", threshold=-1.0)
    found = decoded(prediction, reading="keypoints", scoring="distance")
    for index, one in enumerate(expected):
        torch.testing.assert_close(found["scores"][index], one.scores)
        # Post-processing computes in double precision.
        torch.testing.assert_close(found["keypoints"][index], one.keypoints, atol=1e-3, rtol=1e-4)


def test_what_depends_on_values_is_refused():
    with pytest.raises(ContractError, match=r"as 'panoptic'.* The fix: task='semantic', or decode=False"):
        decoder_of(MaskQueries, "panoptic", "softmax_with_null", 255, None)
