"""Classes of pixels and of images: equal to torchmetrics; pixels that count nowhere, binary models, what is refused."""

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as metrics

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult, SemanticResult
from backbonekit.errors import ContractError
from backbonekit.evaluation import Evaluation, Scores

LABELS = Labels(("sky", "road", "tree", "car"), category_ids=(7, 8, 21, 26))


def maps(count: int = 5, classes: int = 3, size=(17, 23)):
    generator = torch.Generator().manual_seed(3)
    expected = torch.randint(0, classes, (count, *size), generator=generator)
    noise = torch.randint(0, classes, (count, *size), generator=generator)
    return expected, noise.where(torch.rand(count, *size, generator=generator) < 0.4, expected)


def segmented(found, expected, *, labels=LABELS, **options) -> Scores:
    evaluation = Evaluation("semantic", labels)
    results = [SemanticResult(one, **options) for one in found]
    evaluation.update(results, [{"segmentation": one} for one in expected], range(len(found)))
    return evaluation.compute()


@pytest.mark.parity
def test_pixels_equal_torchmetrics():
    expected, found = maps()
    expected[0, :4] = 255
    scores = segmented(found, expected)
    options = {"num_classes": 4, "ignore_index": 255}
    iou = metrics.multiclass_jaccard_index(found, expected, average="none", **options)
    accuracy = metrics.multiclass_accuracy(found, expected, average="none", **options)
    dice = metrics.multiclass_f1_score(found, expected, average="none", **options)
    rows = np.array([values for _, _, values in scores.per_class[0].rows])
    np.testing.assert_allclose(rows[:3, 0], iou[:3], atol=1e-6)
    np.testing.assert_allclose(rows[:3, 1], dice[:3], atol=1e-6)
    np.testing.assert_allclose(rows[:3, 2], accuracy[:3], atol=1e-6)
    assert np.isnan(rows[3, :3]).all()  # no pixel of the fourth class anywhere
    assert scores.main == ("mIoU", pytest.approx(float(iou[:3].mean())))
    assert scores.summary["mean_dice"] == pytest.approx(float(dice[:3].mean()))
    assert scores.summary["mean_accuracy"] == pytest.approx(float(accuracy[:3].mean()))
    micro = metrics.multiclass_accuracy(found, expected, average="micro", **options)
    assert scores.summary["pixel_accuracy"] == pytest.approx(float(micro))
    assert [number for _, number, _ in scores.per_class[0].rows] == [7, 8, 21, 26]
    assert rows[:, 3].sum() == pytest.approx(1.0)


def test_a_pixel_without_a_class_in_the_result_is_wrong():
    expected = torch.zeros(1, 10, 10, dtype=torch.int64)
    found = expected.clone()
    found[0, :4] = 255
    scores = segmented(found, expected)
    assert scores.summary["mIoU"] == pytest.approx(0.6)
    assert scores.summary["pixel_accuracy"] == pytest.approx(0.6)
    assert scores.plots[0].counts[0].tolist() == [60, 0, 0, 0, 40]


def test_a_model_with_one_class_is_measured_by_that_class():
    expected = torch.zeros(1, 10, 10, dtype=torch.int64)
    expected[0, :5] = 1
    expected[0, 9] = 255
    found = torch.zeros_like(expected)
    found[0, 4:10] = 1
    scores = segmented(found, expected, labels=Labels(("crack",)), is_binary=True)
    # 10 of 50 pixels are found; 40 others are found wrongly beside 10 that count nowhere
    assert scores.summary["mIoU"] == pytest.approx(10 / 90)
    assert scores.summary["mean_dice"] == pytest.approx(20 / 100)
    assert scores.summary["pixel_accuracy"] == pytest.approx(10 / 90)
    assert [name for name, _, _ in scores.per_class[0].rows] == ["crack"]
    assert scores.plots[0].names == ("background", "crack")


def test_a_class_that_the_model_does_not_have_is_refused():
    with pytest.raises(ContractError, match=r"image 0: segmentation has a pixel of the class 4; classes are 0 to 3"):
        segmented(torch.zeros(1, 3, 3, dtype=torch.int64), torch.full((1, 3, 3), 4))
    with pytest.raises(ContractError, match="of the class 2; classes are 0 to 1"):
        segmented(torch.zeros(1, 3, 3, dtype=torch.int64), torch.full((1, 3, 3), 2), is_binary=True)
    with pytest.raises(ContractError, match=r"3 x 3 pixels \(height x width\) and its target's segmentation 4 x 3"):
        segmented(torch.zeros(1, 3, 3, dtype=torch.int64), torch.zeros(1, 4, 3, dtype=torch.int64))


def classified(probabilities: torch.Tensor, expected: torch.Tensor, labels=None) -> Scores:
    evaluation = Evaluation("classification", labels)
    scores, order = probabilities.sort(dim=1, descending=True)
    results = [ClassResult(one, two) for one, two in zip(order, scores, strict=True)]
    evaluation.update(results, [{"class": one} for one in expected], range(len(expected)))
    return evaluation.compute()


@pytest.mark.parity
def test_images_with_one_class_equal_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    logits, expected = torch.randn(60, 9, generator=generator), torch.randint(0, 7, (60,), generator=generator)
    logits[torch.arange(60), expected] += 1.0
    probabilities = logits.softmax(dim=1)
    scores = classified(probabilities, expected)
    top = {k: metrics.multiclass_accuracy(probabilities, expected, 9, average="micro", top_k=k) for k in (1, 5)}
    assert scores.main == ("accuracy", pytest.approx(float(top[1])))
    assert scores.summary["accuracy_top5"] == pytest.approx(float(top[5]))
    assert scores.summary["f1"] == pytest.approx(float(metrics.multiclass_f1_score(probabilities, expected, 9)))
    matrix = metrics.multiclass_confusion_matrix(probabilities, expected, 9)
    assert scores.plots[0].counts[:, :9].tolist() == matrix.tolist()


@pytest.mark.parity
def test_images_with_several_classes_equal_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    expected = (torch.rand(80, 5, generator=generator) < 0.3).float()
    expected[:, 4] = 0  # a class that no image has
    probabilities = (torch.randn(80, 5, generator=generator) + 2 * expected - 1).sigmoid()
    scores = classified(probabilities, expected, Labels(("a", "b", "c", "d", "e")))
    average = metrics.multilabel_average_precision(probabilities[:, :4], expected[:, :4].long(), 4)
    assert scores.main == ("mAP", pytest.approx(float(average)))
    f1 = metrics.multilabel_f1_score(probabilities, expected.long(), 5, average="none")
    rows = {name: values for name, _, values in scores.per_class[0].rows}
    assert [rows[name][1] for name in "abcd"] == pytest.approx(f1[:4].tolist())
    micro = metrics.multilabel_f1_score(probabilities, expected.long(), 5, average="micro")
    assert scores.summary["f1_micro"] == pytest.approx(float(micro))
    curve = scores.plots[0].precisions
    assert np.isnan(curve[4]).all()
    assert (np.diff(curve[:4], axis=1) <= 0).all()  # the best precision at this recall or more


def test_a_target_that_is_no_class_of_the_model_is_refused():
    with pytest.raises(ContractError, match="image 0: class is 9; classes are 0 to 3"):
        classified(torch.ones(1, 4), torch.tensor([9]), LABELS)
    with pytest.raises(ContractError, match="class has 3 numbers, and the model has 4 classes"):
        classified(torch.ones(1, 4), torch.ones(1, 3), LABELS)
