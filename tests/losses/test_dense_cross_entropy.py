"""DenseCrossEntropy: the criterion's contract, what counts and what does not, equality with torchvision's recipe."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import ContractError, RecipeError
from backbonekit.losses.dense_cross_entropy import DenseCrossEntropy
from tests.losses.criterion_tester import SIZE, CriterionTester
from tests.losses.random_inputs import noise


class TestDenseCrossEntropy(CriterionTester):
    criterion = DenseCrossEntropy
    options = {"num_classes": 4}
    keys = ("segmentation",)

    def prediction(self, batch):
        return DenseLogits(noise(batch, 4, *SIZE, seed=1))

    def target(self, index):
        labels = torch.randint(0, 4, SIZE, generator=torch.Generator().manual_seed(index))
        labels[: index + 1] = IGNORE_LABEL
        return {"segmentation": labels}

    def empty_target(self):
        return {"segmentation": torch.full(SIZE, IGNORE_LABEL)}

    def test_where_every_pixel_is_ignored_the_loss_is_zero(self):
        self.assert_zero_with_a_connected_graph(self.prediction(2), [self.empty_target(), self.empty_target()])

    def test_where_all_is_padding_the_loss_is_zero(self):
        terms = self.run(self.prediction(2), self.targets(2), torch.zeros(2, *SIZE, dtype=torch.bool))
        assert all(term == 0 for term in terms.values())

    def test_padding_and_ignored_pixels_count_in_nothing(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[0, 20:], mask[1, :, 9:] = False, False
        expected = self.run(prediction, targets, mask)
        changed = prediction.logits.masked_fill(~mask[:, None], 40.0)
        changed[0, 2, 0], changed[1, 1, :2] = 30.0, -30.0  # the ignored rows of `target`
        relabelled = [{"segmentation": target["segmentation"].clone()} for target in targets]
        relabelled[0]["segmentation"][20:], relabelled[1]["segmentation"][:, 9:] = 1, 2
        given = self.run(DenseLogits(changed, prediction.auxiliary), relabelled, mask)
        torch.testing.assert_close(given["cross_entropy"], expected["cross_entropy"])

    def test_images_without_the_key_count_in_nothing(self):
        prediction, targets = self.prediction(3), self.targets(3)
        mask = torch.ones(3, *SIZE, dtype=torch.bool)
        mask[2, 11:] = False
        expected = self.run(self.picked(prediction, [0, 2]), [targets[0], targets[2]], mask[[0, 2]])
        given = self.run(prediction, [targets[0], {}, targets[2]], mask)
        torch.testing.assert_close(given, expected)

    def test_a_target_smaller_than_the_canvas_lies_at_its_top_left(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[0, 17:], mask[0, :, 21:] = False, False
        cut = [{"segmentation": targets[0]["segmentation"][:17, :21]}, targets[1]]
        torch.testing.assert_close(self.run(prediction, cut), self.run(prediction, targets, mask))


class TestWithAuxiliary(TestDenseCrossEntropy):
    def prediction(self, batch):
        return DenseLogits(
            noise(batch, 4, *SIZE, seed=1), (noise(batch, 4, *SIZE, seed=2), noise(batch, 4, 6, 8, seed=3))
        )

    def test_auxiliary_predictions_are_weighted(self):
        full, half = (self.run(self.prediction(2), self.targets(2), auxiliary_weight=weight) for weight in (1.0, 0.25))
        torch.testing.assert_close(half["auxiliary_cross_entropy"], full["auxiliary_cross_entropy"] * 0.25)
        torch.testing.assert_close(half["cross_entropy"], full["cross_entropy"])


class TestWithSmoothing(TestDenseCrossEntropy):
    options = {"num_classes": 4, "label_smoothing": 0.2}


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_torchvisions_training_recipe(smoothing):
    """The criterion of its reference script: cross-entropy of `out`, and half of that of `aux`."""
    tester = TestWithAuxiliary()
    prediction, targets = tester.prediction(3), tester.targets(3)
    prediction.auxiliary = prediction.auxiliary[:1]
    labels = torch.stack([target["segmentation"] for target in targets])
    out, aux = (
        functional.cross_entropy(logits, labels, ignore_index=255, label_smoothing=smoothing)
        for logits in (prediction.logits, prediction.auxiliary[0])
    )
    terms = tester.run(prediction, targets, label_smoothing=smoothing)
    torch.testing.assert_close(sum(terms.values()), out + 0.5 * aux)


def test_refuses_a_label_outside_the_classes():
    tester = TestDenseCrossEntropy()
    labels = torch.zeros(SIZE, dtype=torch.long)
    labels[3, 4], labels[5, 6] = 4, 150
    message = "segmentation holds the labels 4, 150; with num_classes=4 labels run from 0 to 3, 255 is ignored"
    with pytest.raises(ContractError, match=message):
        tester.run(tester.prediction(1), [{"segmentation": labels}])


@pytest.mark.parametrize(("shape", "message"), [((25, 32), "25x32, larger than"), ((1, 24, 32), r"\[height, width\]")])
def test_refuses_a_target_that_does_not_lie_on_the_canvas(shape, message):
    tester = TestDenseCrossEntropy()
    with pytest.raises(ContractError, match=message):
        tester.run(tester.prediction(1), [{"segmentation": torch.zeros(shape, dtype=torch.long)}])


@pytest.mark.parametrize(("num_classes", "label"), [(255, 255), (256, -1), (847, -1)])
def test_the_usual_ignored_label_is_no_class(num_classes, label):
    assert DenseCrossEntropy(num_classes=num_classes).ignore_label == label


@pytest.mark.parametrize(("num_classes", "label"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_an_ignored_label_that_leaves_a_single_one_is_refused(num_classes, label):
    with pytest.raises(RecipeError, match=f"ignore_label={label} is one of the 2 labels 0 to 1; .*ignore_label=255"):
        DenseCrossEntropy(num_classes=num_classes, ignore_label=label)


@pytest.mark.parametrize("ignore_label", [-100, -1, 0, 3, 254, 255, 1000])
def test_any_number_may_be_the_ignored_label(ignore_label):
    """Of 300 classes; 0, 3, 254 and 255 are classes of their own, which then count in nothing."""
    logits = noise(2, 300, 6, 8, seed=0).requires_grad_()
    labels = torch.randint(0, 300, (2, 6, 8), generator=torch.Generator().manual_seed(1))
    labels[0, :3] = ignore_label
    expected = functional.cross_entropy(logits, labels, ignore_index=ignore_label)
    criterion = DenseCrossEntropy(num_classes=300, ignore_label=ignore_label, lovasz_weight=0.5, dice_weight=0.5)
    terms = criterion(DenseLogits(logits), [{"segmentation": one} for one in labels], Canvas((6, 8)))
    torch.testing.assert_close(terms["cross_entropy"], expected)
    sum(terms.values()).backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[0, :, :3].any()


def test_padding_counts_in_nothing_whatever_it_is_filled_with():
    tester = TestDenseCrossEntropy()
    prediction, mask = tester.prediction(2), torch.ones(2, *SIZE, dtype=torch.bool)
    mask[0, 20:] = False
    filled, ignored = tester.targets(2), tester.targets(2)
    filled[0]["segmentation"][20:], ignored[0]["segmentation"][20:] = 99, IGNORE_LABEL
    torch.testing.assert_close(tester.run(prediction, filled, mask), tester.run(prediction, ignored, mask))


def test_more_classes_than_255_train_with_another_ignored_label():
    labels = torch.full((2, 2), 255)
    labels[0, 0] = -1
    logits = torch.zeros(1, 300, 2, 2, requires_grad=True)
    terms = DenseCrossEntropy(num_classes=300, ignore_label=-1)(
        DenseLogits(logits), [{"segmentation": labels}], Canvas((2, 2))
    )
    torch.testing.assert_close(terms["cross_entropy"], torch.tensor(300.0).log())


class TestDenseCrossEntropyWithDice(TestDenseCrossEntropy):
    options = {"num_classes": 4, "dice_weight": 0.5}


def test_dice_by_hand():
    """Three pixels that count of two classes, a third class without pixels, one ignored pixel."""
    shares = torch.tensor([[0.7, 0.2, 0.1, 0.3], [0.2, 0.5, 0.8, 0.3], [0.1, 0.3, 0.1, 0.4]])
    prediction = DenseLogits(shares.log().reshape(1, 3, 2, 2))
    labels = torch.tensor([[0, 1], [1, IGNORE_LABEL]])
    criterion = DenseCrossEntropy(num_classes=3, dice_weight=2.0)
    terms = criterion(prediction, [{"segmentation": labels}], Canvas((2, 2)))
    first = 1 - 2 * 0.7 / (1.0 + 1)
    second = 1 - 2 * (0.5 + 0.8) / (1.5 + 2)
    torch.testing.assert_close(terms["dice"], torch.tensor(2.0 * (first + second) / 2), rtol=1e-5, atol=1e-6)


def test_dice_of_a_perfect_prediction_is_zero_and_of_a_wrong_one_is_one():
    labels = torch.randint(0, 3, (8, 8))
    logits = 100.0 * functional.one_hot(labels, 3).permute(2, 0, 1)[None].float()
    criterion = DenseCrossEntropy(num_classes=3, dice_weight=1.0)
    for prediction, expected in ((logits, 0.0), (logits.roll(1, dims=1), 1.0)):
        dice = criterion(DenseLogits(prediction), [{"segmentation": labels}], Canvas((8, 8)))["dice"]
        torch.testing.assert_close(dice, torch.tensor(expected), rtol=0, atol=1e-5)


def test_a_small_class_weighs_as_much_as_a_large_one_in_the_dice():
    labels = torch.zeros(16, 16, dtype=torch.int64)
    labels[0, 0] = 1
    all_background = torch.zeros(1, 2, 16, 16)
    all_background[:, 0] = 50.0
    criterion = DenseCrossEntropy(num_classes=2, dice_weight=1.0)
    dice = criterion(DenseLogits(all_background), [{"segmentation": labels}], Canvas((16, 16)))["dice"]
    assert 0.5 < dice < 0.51
