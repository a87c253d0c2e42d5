"""CrossEntropy: the criterion's contract and equality with the formula."""

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import ClassScores
from backbonekit.errors import ContractError
from backbonekit.heads.classification.loss import CrossEntropy
from tests.losses.criterion_tester import SIZE, CriterionTester


class TestCrossEntropy(CriterionTester):
    criterion = CrossEntropy
    options = {"num_classes": 5}
    keys = ("class",)

    def prediction(self, batch):
        return ClassScores(torch.randn(batch, 5, generator=torch.Generator().manual_seed(1)))

    def target(self, index):
        return {"class": torch.tensor((index * 3 + 1) % 5)}

    def test_is_the_mean_of_negative_log_probabilities(self):
        prediction, targets = self.prediction(3), self.targets(3)
        picked = prediction.logits.softmax(-1)[torch.arange(3), torch.stack([target["class"] for target in targets])]
        torch.testing.assert_close(self.run(prediction, targets)["cross_entropy"], -picked.log().mean())

    def test_images_without_the_key_add_no_loss(self):
        prediction, targets = self.prediction(3), self.targets(3)
        expected = self.run(self.picked(prediction, [0, 2]), [targets[0], targets[2]])
        given = self.run(prediction, [targets[0], {}, targets[2]])
        torch.testing.assert_close(given, expected)

    def test_smoothing_makes_a_sure_prediction_cost_more(self):
        sure = ClassScores(torch.tensor([[20.0, 0, 0, 0, 0]]))
        target = [{"class": torch.tensor(0)}]
        assert self.run(sure, target)["cross_entropy"] < 1e-6
        assert self.run(sure, target, label_smoothing=0.1)["cross_entropy"] > 1

    def test_refuses_a_label_outside_the_classes(self):
        with pytest.raises(ContractError, match="class holds the label 5; with num_classes=5 labels run from 0 to 4"):
            CrossEntropy(num_classes=5)(self.prediction(1), [{"class": torch.tensor(5)}], Canvas(SIZE))


class TestCrossEntropyOfOneClass(CriterionTester):
    criterion = CrossEntropy
    options = {"num_classes": 1}
    keys = ("class",)

    def prediction(self, batch):
        return ClassScores(torch.randn(batch, 1, generator=torch.Generator().manual_seed(1)))

    def target(self, index):
        return {"class": torch.tensor(index % 2)}

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_equals_a_softmax_over_two_classes(self, smoothing):
        prediction, targets = self.prediction(3), self.targets(3)
        two = ClassScores(torch.cat([torch.zeros_like(prediction.logits), prediction.logits], dim=1))
        torch.testing.assert_close(
            self.run(prediction, targets, label_smoothing=smoothing),
            self.run(two, targets, label_smoothing=smoothing, num_classes=2),
        )

    def test_refuses_a_label_that_is_neither(self):
        with pytest.raises(ContractError, match="label 2; with num_classes=1 the class is 1 and everything else 0"):
            self.run(self.prediction(1), [{"class": torch.tensor(2)}])


class TestCrossEntropyOfSeveralLabels(CriterionTester):
    criterion = CrossEntropy
    options = {"num_classes": 5, "multi_label": True}
    keys = ("class",)

    def prediction(self, batch):
        return ClassScores(torch.randn(batch, 5, generator=torch.Generator().manual_seed(1)))

    def target(self, index):
        return {"class": (torch.arange(5) % (index + 2) == 0).float()}

    def empty_target(self):
        return {"class": torch.zeros(5)}

    def test_is_the_mean_of_binary_cross_entropies(self):
        prediction, targets = self.prediction(3), self.targets(3)
        shares, wanted = prediction.logits.sigmoid(), torch.stack([target["class"] for target in targets])
        expected = -(wanted * shares.log() + (1 - wanted) * (1 - shares).log()).mean()
        torch.testing.assert_close(self.run(prediction, targets)["cross_entropy"], expected)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (torch.tensor(3), r"has shape \[\]; with multi_label it is a vector of 5 numbers"),
            (torch.zeros(4), r"has shape \[4\]"),
            (torch.tensor([0.0, 0, 3, 0, 0]), "holds 0 to 3; .* 0 or 1"),
        ],
    )
    def test_refuses_what_is_no_vector_of_zeros_and_ones(self, target, message):
        with pytest.raises(ContractError, match=message):
            self.run(self.prediction(1), [{"class": target}])


def test_a_vector_for_one_class_an_image_names_its_option():
    with pytest.raises(ContractError, match=r"has shape \[5\].*head.criterion.multi_label=true"):
        CrossEntropy(num_classes=5)(ClassScores(torch.zeros(1, 5)), [{"class": torch.zeros(5)}], Canvas(SIZE))
