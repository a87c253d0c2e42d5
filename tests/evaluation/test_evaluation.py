"""What every task shares: each image counts once, over any number of processes; several tasks; options; messages."""

import json
import pickle

import pytest
import torch
from coco_case import CASE, LABELS, result_of, target_of

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult, SemanticResult
from backbonekit.errors import ContractError, RecipeError
from backbonekit.evaluation import MEASURES, Evaluation, lower_is_better
from backbonekit.postprocessing.results import PREDICTION_KINDS


def given() -> tuple[list, list]:
    return [result_of(image) for image in CASE["images"]], [target_of(image) for image in CASE["images"]]


def test_everything_that_a_prediction_can_be_read_as_is_measured():
    assert set(MEASURES) == {task for kind in PREDICTION_KINDS.values() for task in kind.tasks}


def test_processes_that_share_an_image_count_it_once_and_the_order_does_not_matter():
    results, targets = given()
    whole = Evaluation("detection", LABELS)
    whole.update(results, targets, range(8))
    shards = [Evaluation("detection", LABELS) for _ in range(3)]
    for rank, shard in enumerate(shards):
        # as a sampler that pads: 8 images over 3 processes are 9, of which one twice
        for index in [*range(rank, 8, 3), 0][:3]:
            shard.update([results[index]], [targets[index]], [index])
    states = pickle.loads(pickle.dumps([shard.state() for shard in shards]))
    merged = Evaluation("detection", LABELS)
    merged.merge(reversed(states))
    assert merged.compute().to_dict() == whole.compute().to_dict()
    assert merged.compute().num_images == 8
    merged.reset()
    with pytest.raises(ContractError, match="nothing to measure"):
        merged.compute()


def test_a_record_is_small():
    results, targets = given()
    evaluation = Evaluation("instance", LABELS)
    evaluation.update(results, targets, range(8))
    pixels = sum(result.masks.numel() for result in results)
    assert len(pickle.dumps(evaluation.state())) < pixels / 20


def test_several_tasks_are_measured_side_by_side():
    evaluation = Evaluation(
        {"scene": "classification", "pixels": "semantic"}, {"pixels": Labels(("a", "b")), "scene": None}
    )
    result = {
        "scene": ClassResult(torch.tensor([1, 0]), torch.tensor([0.9, 0.1])),
        "pixels": SemanticResult(torch.zeros(4, 4, dtype=torch.int64)),
    }
    both = {"class": torch.tensor(1), "segmentation": torch.zeros(4, 4, dtype=torch.int64)}
    # an image that one task alone has ground truth of
    evaluation.update([result, result], [both, {"class": torch.tensor(0)}], [0, 1])
    scores = evaluation.compute()
    assert scores.main == ("scene/accuracy", 0.5)
    assert scores.summary["pixels/mIoU"] == 1
    assert scores.per_class[1].title == "pixels"
    assert scores.num_images == 2
    json.dumps(scores.to_dict(), allow_nan=False)


def test_results_are_read_for_measuring_not_for_showing():
    assert (Evaluation("detection").options().threshold, Evaluation("detection").options().top_k) == (0.0, 100)
    assert Evaluation("semantic").options().threshold is None


def test_what_cannot_be_measured_is_told():
    with pytest.raises(RecipeError, match="nothing measures 'segmentation'; did you mean 'semantic'"):
        Evaluation("segmentation")
    evaluation = Evaluation("semantic")
    evaluation.update([SemanticResult(torch.zeros(2, 2))], [{"class": torch.tensor(1)}], [0])
    with pytest.raises(ContractError, match="no target has segmentation, the ground truth of semantic"):
        evaluation.compute()


def test_which_way_is_better():
    assert lower_is_better("abs_rel")
    assert lower_is_better("depth/rmse")
    assert not lower_is_better("mIoU")


def test_without_the_extra_the_message_names_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faster_coco_eval.core.coco", None)
    results, targets = given()
    evaluation = Evaluation("detection", LABELS)
    for result in results:
        result.masks = None
    evaluation.update(results, targets, range(8))
    with pytest.raises(RecipeError, match=r"faster-coco-eval, which is not installed.*backbonekit\[train\]"):
        evaluation.compute()
