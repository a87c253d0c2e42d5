"""COCO's average precision equals pycocotools' on a committed case with crowds and category ids."""

import numpy as np
import pytest
import torch
from coco_case import (
    CASE,
    IDS,
    LABELS,
    PERSON,
    keypoint_results,
    keypoint_target,
    people,
    reference,
    result_of,
    target_of,
)

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import InstanceResult
from backbonekit.errors import ContractError
from backbonekit.evaluation import Evaluation

SIZES = ("small", "medium", "large")


def names(prefix: str, limits: tuple[int, ...], sizes: tuple[str, ...]) -> list[str]:
    average = [f"{prefix}_AP", f"{prefix}_AP50", f"{prefix}_AP75", *(f"{prefix}_AP_{size}" for size in sizes)]
    return [*average, *(f"{prefix}_AR{limit}" for limit in limits), *(f"{prefix}_AR_{size}" for size in sizes)]


@pytest.fixture(scope="module")
def scores():
    evaluation = Evaluation("detection", LABELS)
    images = CASE["images"]
    evaluation.update(
        [result_of(image) for image in images], [target_of(image) for image in images], range(len(images))
    )
    return evaluation.compute()


@pytest.mark.parity
@pytest.mark.parametrize(("kind", "prefix"), [("bbox", "box"), ("segm", "mask")])
def test_boxes_and_masks_equal_pycocotools(scores, kind, prefix):
    pytest.importorskip("pycocotools")
    # A result's area is its mask's where masks are compared, for which pycocotools must not see its box.
    results = [{key: value for key, value in one.items() if kind == "bbox" or key != "bbox"} for one in CASE["results"]]
    expected = reference(kind, results, CASE["annotations"])
    measured = [scores.summary[name] for name in names(prefix, (1, 10, 100), SIZES)]
    np.testing.assert_allclose(measured, expected[:12], rtol=0, atol=1e-6)
    assert 0.2 < measured[0] < 0.9
    assert len(set(np.round(measured, 3))) > 6


@pytest.mark.parity
def test_keypoints_equal_pycocotools():
    pytest.importorskip("pycocotools")
    evaluation = Evaluation("keypoints", Labels(tuple(f"point {number}" for number in range(17))))
    for index, (image, results) in enumerate(people()):
        evaluation.update([keypoint_results(results)], [keypoint_target(image)], [index])
    annotations = [one for one in CASE["annotations"] if one["category_id"] == PERSON]
    expected = reference("keypoints", [one for _, results in people() for one in results], annotations)
    scores = evaluation.compute()
    measured = scores.summary
    rows = scores.per_class[0].rows
    assert rows[3][0] == "point 3"
    assert all(0.05 < values[0] < 1 for _, _, values in rows)
    # pycocotools lists AR, AR50, AR75, AR by size; of these the first and the last two are here
    np.testing.assert_allclose(list(measured.values()), np.delete(expected, [6, 7]), rtol=0, atol=1e-6)
    assert 0.2 < measured["keypoint_AP"] < 0.9


def test_each_class_has_a_row_with_its_own_id_and_its_objects(scores):
    assert scores.main == ("box_AP", scores.summary["box_AP"])
    for table in scores.per_class:
        assert [number for _, number, _ in table.rows] == IDS
        single = [one["category_id"] for one in CASE["annotations"] if not one["iscrowd"]]
        assert [values[-1] for _, _, values in table.rows] == [single.count(number) for number in IDS]
    boxes = scores.per_class[0]
    average = np.array([values[0] for _, _, values in boxes.rows])
    assert np.isnan(average[3])  # the class that no object has
    assert np.nanmean(average) == pytest.approx(scores.summary["box_AP"])
    assert scores.to_dict()["per_class"][0]["classes"][3]["AP"] is None


def test_curves_are_at_half_overlap(scores):
    boxes = scores.plots[0]
    assert boxes.precisions.shape == (4, 101)
    assert np.nanmean(boxes.precisions) == pytest.approx(scores.summary["box_AP50"])


def test_masks_come_first_where_they_are_the_answer():
    evaluation = Evaluation("instance", LABELS)
    image = CASE["images"][0]
    target = target_of(image)
    del target["boxes"], target["area"]
    evaluation.update([result_of(image)], [target], [0])
    scores = evaluation.compute()
    assert scores.main[0] == "mask_AP"
    assert next(iter(scores.summary)) == "mask_AP"
    assert [table.title for table in scores.per_class] == ["masks", "boxes"]


def nothing(masks: bool = False) -> InstanceResult:
    empty = torch.zeros(0, 20, 30, dtype=torch.bool) if masks else None
    return InstanceResult(torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 4), empty)


def test_images_without_objects_and_without_results():
    box = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    one = {"labels": torch.tensor([1]), "boxes": box}
    none = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    right = InstanceResult(torch.tensor([1]), torch.tensor([0.01]), box)
    for results, targets, expected in (
        ([nothing(), nothing()], [one, none], 0.0),
        ([right, nothing()], [one, none], 1.0),  # a score of 0.01 counts
        ([right, right], [one, none], 0.5),  # the false one has the same score
        ([nothing()], [none], float("nan")),
    ):
        evaluation = Evaluation("detection")
        evaluation.update(results, targets, range(len(results)))
        scores = evaluation.compute()
        if len(targets) == 2 and results[1] is right:
            assert 0.4 < scores.summary["box_AP"] <= 1.0
            continue
        np.testing.assert_equal(scores.summary["box_AP"], expected)
    assert scores.to_dict()["main"]["value"] is None


def test_a_target_with_masks_of_another_size_is_refused_by_the_number_of_its_image():
    target = {"labels": torch.tensor([0]), "masks": torch.ones(1, 20, 31, dtype=torch.bool)}
    with pytest.raises(ContractError, match=r"image 7: the result has 20 x 30 pixels .* masks 20 x 31"):
        Evaluation("instance").update([nothing(masks=True)], [target], [7])
    target = {"labels": torch.tensor([0, 0]), "boxes": torch.ones(1, 4)}
    with pytest.raises(ContractError, match="2 labels and 1 boxes"):
        Evaluation("detection").update([nothing()], [target], [7])


def test_keypoints_need_one_result_for_each_object():
    target = {"keypoints": torch.ones(2, 5, 3)}
    with pytest.raises(ContractError, match="0 results with keypoints for 2 objects"):
        Evaluation("keypoints").update([[]], [target], [0])


def test_found_exactly_keypoints_of_another_number_score_one():
    from backbonekit.contract.results import KeypointResult

    points = torch.tensor([[[3.0, 4.0, 2.0], [40.0, 60.0, 1.0], [0.0, 0.0, 0.0]]])
    evaluation = Evaluation("keypoints")
    found = points[0, :, :2].clone()
    found[2] = torch.nan
    evaluation.update([KeypointResult(found, torch.ones(3))], [{"keypoints": points}], [0])
    assert evaluation.compute().summary["keypoint_AP"] == pytest.approx(1.0)
