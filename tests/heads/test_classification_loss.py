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
