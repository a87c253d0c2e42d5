"""Panoptic quality and depth: equal to torchmetrics, or to what the definition says."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import DepthResult, PanopticResult, Segment
from backbonekit.evaluation import Evaluation, Scores

LABELS = Labels(("cat", "dog", "sky"), things=frozenset({0, 1}))


def panoptic(found: torch.Tensor, found_labels: list[int], masks: torch.Tensor, labels: list[int], **extra) -> Scores:
    evaluation = Evaluation("panoptic", LABELS)
    segments = [Segment(index, label, 0.9) for index, label in enumerate(found_labels, start=1)]
    target = {"masks": masks, "labels": torch.tensor(labels), **extra}
    evaluation.update([PanopticResult(found, segments)], [target], [0])
    return evaluation.compute()


def stripes(*widths: int) -> torch.Tensor:
    """int64 [10, sum]: identifiers from 1, side by side."""
    return torch.cat([torch.full((10, width), index) for index, width in enumerate(widths, start=1)], dim=1)


def masks_of(identifiers: torch.Tensor) -> torch.Tensor:
    return torch.stack([identifiers == index for index in range(1, int(identifiers.max()) + 1)])


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_quality_equals_torchmetrics():
    from torchmetrics.functional.detection import panoptic_quality

    generator = torch.Generator().manual_seed(0)
    evaluation = Evaluation("panoptic", LABELS)
    coded = {"found": [], "expected": []}
    for index in range(6):
        widths = torch.randint(4, 9, (5,), generator=generator)
        labels = torch.tensor([0, 1, 0, 1, 2])  # one segment of stuff
        moved = (widths + torch.randint(-2, 3, (5,), generator=generator)).clamp(min=1)
        other = labels.where(torch.rand(5, generator=generator) < 0.8, torch.tensor([1, 0, 1, 0, 2]))
        both = {"expected": (widths, labels), "found": (moved, other)}
        maps = {name: pad(stripes(*one), (0, 60 - int(one.sum()))) for name, (one, _) in both.items()}
        # torchmetrics leaves pixels without a class in the result out of the union, the paper's code does not
        maps["found"][maps["found"] == 0] = 5
        segments = [Segment(number, int(label), 0.9) for number, label in enumerate(other, start=1)]
        target = {"masks": masks_of(maps["expected"]), "labels": labels}
        evaluation.update([PanopticResult(maps["found"], segments)], [target], [index])
        for name, (_, classes) in both.items():
            by_identifier = torch.cat([torch.tensor([9]), classes])  # 9: void, no class of the metric
            coded[name].append(torch.stack([by_identifier[maps[name]], maps[name]], dim=-1))
    found, expected = (torch.stack(coded[name]) for name in ("found", "expected"))
    things, stuffs = {0, 1}, {2}
    quality = panoptic_quality(
        found, expected, things, stuffs, allow_unknown_preds_category=True, return_sq_and_rq=True
    )
    summary = evaluation.compute().summary
    np.testing.assert_allclose([summary[name] for name in ("PQ", "SQ", "RQ")], quality, atol=1e-6)
    assert 0.05 < summary["PQ"] < 0.95


def test_things_and_stuff_have_scores_of_their_own():
    identifiers = stripes(10, 10, 20)
    scores = panoptic(identifiers, [0, 0, 2], masks_of(identifiers), [0, 1, 2])
    assert scores.main == ("PQ", pytest.approx((2 / 3 + 0 + 1) / 3))  # of cats one is found and one is false
    assert scores.summary["PQ_stuff"] == 1
    assert scores.summary["PQ_things"] == pytest.approx(1 / 3)
    assert scores.summary["SQ_things"] == pytest.approx(1 / 2)
    rows = {name: values for name, _, values in scores.per_class[0].rows}
    assert rows["dog"] == (0, 0, 0, 1)


def test_void_and_crowds_make_nothing_false():
    identifiers = stripes(10, 10, 20)
    target = masks_of(identifiers)
    assert panoptic(identifiers, [0, 1, 2], target[:2], [0, 1]).summary["PQ"] == 1  # the sky's pixels are void
    crowd = torch.tensor([0, 0, 1])
    # the third segment lies in a crowd of its class; one of another class there is false
    assert panoptic(identifiers, [0, 1, 1], target, [0, 1, 1], iscrowd=crowd).summary["PQ"] == 1
    assert panoptic(identifiers, [0, 1, 0], target, [0, 1, 1], iscrowd=crowd).summary["PQ"] < 1
    # a crowd that is not found is no miss
    assert panoptic(identifiers.clamp(max=2), [0, 1], target[:2], [0, 1]).summary["RQ"] == 1


def test_nothing_found_and_nothing_there():
    identifiers = stripes(10, 10)
    nothing = torch.zeros_like(identifiers)
    assert panoptic(nothing, [], masks_of(identifiers), [0, 1]).summary["PQ"] == 0
    none = torch.zeros(0, *nothing.shape, dtype=torch.bool)
    assert np.isnan(panoptic(nothing, [], none, []).summary["PQ"])


def depth(found: torch.Tensor, expected: torch.Tensor, *, is_distance: bool = True) -> dict[str, float]:
    evaluation = Evaluation("depth")
    evaluation.update([DepthResult(found, is_distance)], [{"depth": expected}], [0])
    return dict(evaluation.compute().summary)


def test_depth_in_metres_is_compared_as_it_is():
    expected = torch.tensor([[2.0, 4.0, 0.0, float("nan"), 8.0]])
    found = torch.tensor([[2.2, 4.0, 7.0, 7.0, 16.0]])
    summary = depth(found, expected)
    assert summary["abs_rel"] == pytest.approx((0.1 + 0 + 1) / 3, abs=1e-6)
    assert summary["rmse"] == pytest.approx(np.sqrt((0.04 + 64) / 3), abs=1e-6)
    assert [summary[f"delta{power}"] for power in (1, 2, 3)] == pytest.approx([2 / 3] * 3)
    unseen = torch.full_like(found, float("nan"))
    assert np.isnan(depth(unseen, expected)["abs_rel"])


def test_relative_depth_is_fitted_in_scale_and_shift():
    expected = torch.rand(1, 20, generator=torch.Generator().manual_seed(0)) * 5 + 1
    nearness = 3 / expected + 7
    summary = depth(nearness, expected, is_distance=False)
    assert summary["abs_rel"] < 1e-5
    assert summary["delta1"] == 1
    assert depth(-nearness + nearness * 0.5, expected, is_distance=False)["abs_rel"] < 1e-5  # any scale, also negative
    assert depth(nearness, expected)["abs_rel"] > 0.3  # as a distance it is far off


def test_the_mean_is_over_images():
    evaluation = Evaluation("depth")
    ones = torch.ones(1, 3)
    results = [DepthResult(ones), DepthResult(ones * 1.5), DepthResult(ones)]
    targets = [{"depth": ones}, {"depth": torch.tensor([[1.0, 0.0, 0.0]])}, {"depth": ones * 0}]
    evaluation.update(results, targets, [0, 1, 2])
    scores = evaluation.compute()
    assert scores.main == ("abs_rel", pytest.approx(0.25))
    assert scores.to_dict()["main"]["lower_is_better"] is True
