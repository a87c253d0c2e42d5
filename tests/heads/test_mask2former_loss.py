"""PointMaskSetCriterion: what every set of masks passes, and what is particular to points."""

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.heads.mask2former import loss as loss_module
from backbonekit.heads.mask2former.loss import AtPoints, PointMaskSetCriterion
from backbonekit.losses.mask_targets import read_mask_targets
from tests.draws import fix_draws
from tests.heads import test_maskformer_loss as test_mask_set
from tests.losses.criterion_tester import SIZE
from tests.losses.random_inputs import blobs, noise


class TestPointMaskSet(test_mask_set.TestMaskSet):
    """With the same points at every call, or two calls could not be compared."""

    criterion = PointMaskSetCriterion
    options = {"num_classes": 4, "num_points": 100}
    compiles = False
    not_compiled_because = "points are drawn anew at every call; see test_compiles_with_the_same_draws"

    def run(self, prediction, targets, mask=None, **changes):
        with pytest.MonkeyPatch.context() as patch:
            fix_draws(patch)
            return super().run(prediction, targets, mask, **changes)

    # Between a pixel of a mask and one beside it both logits and targets are interpolated, and so no longer agree.
    test_a_perfect_prediction_costs_almost_nothing = None
    # Draws differ from call to call.
    test_compiles_with_targets = None
    # Points are sampled outside the padding of a mask, but also on ignored pixels of a segmentation.
    test_ignored_pixels_are_as_padding = None

    def test_a_perfect_prediction_costs_almost_nothing_away_from_edges(self):
        """Halves of the image, so that few points lie on an edge."""
        half = torch.zeros(1, *SIZE, dtype=torch.bool)
        half[:, :, :16] = True
        targets = [{"labels": torch.tensor([2]), "masks": half}]
        class_logits, mask_logits = torch.zeros(1, 6, 5), torch.full((1, 6, *SIZE), -30.0)
        class_logits[..., 4], class_logits[0, 3, 4], class_logits[0, 3, 2] = 30.0, 0.0, 30.0
        mask_logits[0, 3] = 60.0 * half[0] - 30.0
        terms = self.run(MaskQueries(class_logits, mask_logits), targets, importance=0.0, num_points=500)
        assert terms["class"] < 1e-4
        assert terms["mask"] < 2
        assert terms["dice"] < 0.1
        wrong = self.run(MaskQueries(class_logits, -mask_logits), targets, importance=0.0, num_points=500)
        assert wrong["mask"] > 70  # now every query is wrong on half of the image
        assert wrong["dice"] > 1

    def test_ignored_pixels_add_no_loss(self):
        prediction = self.prediction(1)
        segmentation = 2 * blobs(1, seed=7)[0].long()
        segmentation[:, 20:] = IGNORE_LABEL
        expected = self.run(prediction, [{"segmentation": segmentation}])
        torch.testing.assert_close(self.run(prediction, [{"segmentation": segmentation[:, :20]}]), expected)
        prediction.mask_logits = prediction.mask_logits.clone()
        prediction.mask_logits[..., 6:] = 40.0  # one position further, since logits are interpolated across the border
        torch.testing.assert_close(
            self.run(prediction, [{"segmentation": segmentation}], importance=0.0),
            self.run(self.prediction(1), [{"segmentation": segmentation}], importance=0.0),
        )

    def test_in_pieces_the_terms_are_the_same(self, monkeypatch):
        prediction, targets = self.prediction(3), self.targets(3)
        expected = self.run(prediction, targets)
        monkeypatch.setitem(loss_module.POINTS_AT_ONCE, "cpu", 700)  # two pairs
        torch.testing.assert_close(self.run(prediction, targets), expected)

    def test_other_draws_give_another_loss_of_the_same_mean(self):
        prediction, targets = self.prediction(2), self.targets(2)
        criterion = self.build(num_points=400, importance=0.0)
        losses = torch.stack([criterion(prediction, targets, Canvas(SIZE))["mask"] for _ in range(40)])
        assert losses.std() > 0
        many = self.build(num_points=40_000, importance=0.0)(prediction, targets, Canvas(SIZE))["mask"]
        assert (losses.mean() - many).abs() < 4 * losses.std() / 40**0.5

    def test_compiles_with_the_same_draws(self):
        torch._dynamo.reset()
        criterion, prediction, targets = self.build(), self.prediction(2), self.targets(2)

        def terms(prediction):
            return criterion(prediction, targets, Canvas(SIZE))

        torch.manual_seed(5)
        compiled = torch.compile(terms, fullgraph=True, backend="eager")(prediction)
        torch.manual_seed(5)
        torch.testing.assert_close(compiled, terms(prediction), rtol=1e-4, atol=1e-5)


class TestPointMaskSetWithAuxiliary(TestPointMaskSet):
    layers = 3
    test_every_layer_has_the_terms_of_the_last = (
        test_mask_set.TestMaskSetWithAuxiliary.test_every_layer_has_the_terms_of_the_last
    )


class TestPointMaskSetOnSegmentations(TestPointMaskSet):
    keys = ("segmentation",)
    target = test_mask_set.TestMaskSetOnSegmentations.target
    empty_target = test_mask_set.TestMaskSetOnSegmentations.empty_target

    # about `masks`, not `segmentation`, or about a known number of masks
    test_padding_adds_no_loss = None
    test_masks_may_be_bool_or_uint8_and_smaller_than_the_canvas = None
    test_compiles_with_the_same_draws = None


def test_costs_are_the_terms_of_every_pair(monkeypatch):
    """With one share of points, all of them uniform, the matching and the loss sample the same points."""
    fix_draws(monkeypatch, dtype=torch.float64)
    prediction = MaskQueries(noise(2, 6, 5, seed=0).double(), 3 * noise(2, 6, 6, 8, seed=1).double())
    targets = [{"labels": torch.arange(n) % 4, "masks": blobs(n, seed=n)} for n in (3, 2)]
    mask_targets = read_mask_targets(targets, Canvas(SIZE), num_classes=4, ignore_label=255, device=torch.device("cpu"))
    entropy, dice = AtPoints(50, 1.0, 0.0).costs([prediction], mask_targets, Canvas(SIZE))
    assert entropy.shape == dice.shape == (1, 2, 6, 3)
    for image, target in enumerate(targets):
        for query in range(6):
            for column in range(len(target["labels"])):
                one, other = AtPoints(50, 1.0, 0.0)._losses(
                    prediction.mask_logits[image, query, None],
                    mask_targets,
                    torch.tensor([image]),
                    torch.tensor([column]),
                    None,
                )
                torch.testing.assert_close(entropy[0, image, query, column], one[0])
                torch.testing.assert_close(dice[0, image, query, column], other[0])
