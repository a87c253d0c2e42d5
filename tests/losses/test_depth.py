"""RelativeDepth and MetricDepth: the criterion's contract, invariances, closed forms, what counts in nothing."""

import math

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import DenseDepth
from backbonekit.errors import ContractError
from backbonekit.losses.depth_targets import gradient_matching
from backbonekit.losses.metric_depth import MetricDepth
from backbonekit.losses.relative_depth import RelativeDepth, masked_median, normalised, trimmed_error
from tests.losses.criterion_tester import SIZE, CriterionTester


def noise(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 4 + 0.5


class DepthTester(CriterionTester):
    keys = ("depth",)

    def prediction(self, batch):
        return DenseDepth(noise(batch, *SIZE, seed=1))

    def target(self, index):
        depth = noise(*SIZE, seed=10 + index)
        depth[: index + 1], depth[-1, 0], depth[-1, 1], depth[-1, 2] = float("nan"), 0.0, -3.0, float("inf")
        return {"depth": depth}

    def empty_target(self):
        return {"depth": torch.full(SIZE, float("nan"))}

    def test_where_nothing_is_known_the_loss_is_zero(self):
        self.assert_zero_with_a_connected_graph(self.prediction(2), [self.empty_target(), self.empty_target()])

    def test_where_all_is_padding_the_loss_is_zero(self):
        terms = self.run(self.prediction(2), self.targets(2), torch.zeros(2, *SIZE, dtype=torch.bool))
        assert all(term == 0 for term in terms.values())

    def test_padding_and_unknown_pixels_count_in_nothing(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[0, 20:], mask[1, :, 9:] = False, False
        expected = self.run(prediction, targets, mask)
        changed = prediction.depth.masked_fill(~mask, 40.0)
        changed[0, 0], changed[1, :2] = 30.0, 20.0  # the unknown rows of `target`
        other = [{"depth": target["depth"].clone()} for target in targets]
        other[0]["depth"][20:], other[1]["depth"][:, 9:] = 7.0, 8.0
        torch.testing.assert_close(self.run(DenseDepth(changed), other, mask), expected)

    def test_an_unknown_pixel_gets_no_gradient(self):
        prediction = self.with_gradients(self.prediction(2))
        sum(self.run(prediction, self.targets(2)).values()).backward()
        for index in range(2):
            known = self.target(index)["depth"]
            known = known.isfinite() & (known > 0)
            assert not prediction.depth.grad[index][~known].any()
            assert prediction.depth.grad[index][known].any()

    def test_images_without_the_key_or_without_a_known_pixel_count_in_nothing(self):
        prediction, targets = self.prediction(3), self.targets(3)
        expected = self.run(self.picked(prediction, [0, 2]), [targets[0], targets[2]])
        torch.testing.assert_close(self.run(prediction, [targets[0], {}, targets[2]]), expected)
        torch.testing.assert_close(self.run(prediction, [targets[0], self.empty_target(), targets[2]]), expected)

    def test_a_target_smaller_than_the_canvas_lies_at_its_top_left(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[0, 17:], mask[0, :, 21:] = False, False
        cut = [{"depth": targets[0]["depth"][:17, :21]}, targets[1]]
        torch.testing.assert_close(self.run(prediction, cut), self.run(prediction, targets, mask))

    def test_a_prediction_of_another_size_is_resized_to_the_canvas(self):
        coarse = DenseDepth(noise(2, SIZE[0] // 4, SIZE[1] // 4, seed=3))
        fine = torch.nn.functional.interpolate(coarse.depth[:, None], size=SIZE, mode="bilinear")[:, 0]
        torch.testing.assert_close(self.run(coarse, self.targets(2)), self.run(DenseDepth(fine), self.targets(2)))

    @pytest.mark.parametrize(
        ("shape", "message"), [((25, 32), "25x32, larger than"), ((1, 24, 32), r"\[height, width\]")]
    )
    def test_refuses_a_target_that_does_not_lie_on_the_canvas(self, shape, message):
        with pytest.raises(ContractError, match=message):
            self.run(self.prediction(1), [{"depth": torch.ones(shape)}])

    def test_a_constant_prediction_and_a_constant_target_have_finite_gradients(self):
        prediction = self.with_gradients(DenseDepth(torch.full((2, *SIZE), 2.0)))
        terms = self.run(prediction, [self.target(0), {"depth": torch.full(SIZE, 3.0)}])
        sum(terms.values()).backward()
        assert prediction.depth.grad.isfinite().all()

    def targets_as_prediction(self, targets):
        raise NotImplementedError

    def test_a_perfect_prediction_costs_nothing(self):
        targets = self.targets(2)
        prediction = self.with_gradients(DenseDepth(self.targets_as_prediction(targets)))
        terms = self.run(prediction, targets)
        assert all(abs(term) < 1e-6 for term in terms.values())
        sum(terms.values()).backward()
        assert prediction.depth.grad.isfinite().all()


class TestRelativeDepth(DepthTester):
    criterion = RelativeDepth

    def targets_as_prediction(self, targets):
        return torch.stack([1 / target["depth"].where(target["depth"] > 0, 1.0) for target in targets])

    @pytest.mark.parametrize(("scale", "shift"), [(7.0, 0.0), (1.0, 100.0), (0.01, -3.0)])
    def test_is_invariant_to_scale_and_shift_of_each_image(self, scale, shift):
        prediction, targets = DenseDepth(noise(2, *SIZE, seed=1).double()), self.targets(2)
        other = DenseDepth(torch.stack([prediction.depth[0] * scale + shift, prediction.depth[1]]))
        torch.testing.assert_close(self.run(other, targets), self.run(prediction, targets), rtol=1e-9, atol=1e-12)

    def test_is_not_invariant_to_the_sign(self):
        targets = self.targets(2)
        right = self.targets_as_prediction(targets)
        assert self.run(DenseDepth(-right), targets)["depth"] > 0.3


class TestRelativeDepthOfDistances(TestRelativeDepth):
    options = {"inverse": False, "trim": 0.0, "gradient_weight": 2.0, "num_scales": 1}

    def targets_as_prediction(self, targets):
        return torch.stack([target["depth"].where(target["depth"] > 0, 1.0) for target in targets])

    def test_by_hand(self):
        """Prediction 0, 1, 2 and target 1, 3, 4: medians 1 and 3, spreads 2/3 and 1."""
        prediction, target = torch.tensor([[[0.0, 1.0, 2.0]]]), torch.tensor([[1.0, 3.0, 4.0]])
        terms = self.build()(DenseDepth(prediction), [{"depth": target}], Canvas((1, 3)))
        # residuals: -1.5 + 2, 0, 1.5 - 1
        torch.testing.assert_close(terms["depth"], torch.tensor((0.5 + 0.5) / (2 * 3)))
        torch.testing.assert_close(terms["depth_gradient"], torch.tensor(2 * (0.5 + 0.5) / 3))


class TestMetricDepth(DepthTester):
    criterion = MetricDepth

    def targets_as_prediction(self, targets):
        return torch.stack([target["depth"].where(target["depth"] > 0, 1.0) for target in targets])

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_a_common_factor_costs_its_squared_logarithm_less_the_share(self, share):
        targets = self.targets(2)
        prediction = DenseDepth(3 * self.targets_as_prediction(targets))
        terms = self.run(prediction, targets, scale_invariance=share)
        torch.testing.assert_close(terms["depth"], torch.tensor((1 - share) * math.log(3) ** 2), atol=1e-6, rtol=1e-5)
        assert terms["depth_gradient"] < 1e-6

    def test_with_the_whole_share_a_common_factor_changes_nothing(self):
        prediction, targets = self.prediction(2), self.targets(2)
        factor = torch.tensor([0.2, 30.0])[:, None, None]
        given = self.run(DenseDepth(prediction.depth * factor), targets, scale_invariance=1.0)
        torch.testing.assert_close(given, self.run(prediction, targets, scale_invariance=1.0), rtol=1e-4, atol=1e-6)

    def test_by_hand(self):
        e = math.e
        prediction, target = torch.tensor([[[e, 1.0], [1.0, e**3]]]), torch.tensor([[1.0, 1.0], [1.0, float("nan")]])
        terms = self.build(num_scales=1, gradient_weight=1.0)(
            DenseDepth(prediction), [{"depth": target}], Canvas((2, 2))
        )
        torch.testing.assert_close(terms["depth"], torch.tensor(1 / 3 - 0.5 / 9))
        torch.testing.assert_close(terms["depth_gradient"], torch.tensor(2 / 3))  # one step right, one down

    def test_predictions_of_zero_are_finite(self):
        prediction = self.with_gradients(DenseDepth(torch.zeros(2, *SIZE)))
        terms = self.run(prediction, self.targets(2))
        sum(terms.values()).backward()
        assert all(term.isfinite() for term in terms.values())
        assert prediction.depth.grad.isfinite().all()


def test_the_largest_errors_are_trimmed_by_image():
    residual = torch.tensor([[[1.0, -2.0, 3.0, -4.0, 100.0]], [[1.0, 1.0, 1.0, 1.0, 9.0]]])
    valid = torch.tensor([[[True] * 5], [[True, True, True, False, True]]])
    # five that count: four stay; four that count: three stay
    torch.testing.assert_close(trimmed_error(residual, valid, 0.2), torch.tensor([10 / 10, 3 / 8]))
    torch.testing.assert_close(trimmed_error(residual, valid, 0.0), torch.tensor([110 / 10, 12 / 8]))


def test_scales_take_every_second_row_and_column():
    """A slope of 1 to the right: at each scale the steps are twice as high, over fewer pixels."""
    residual = torch.arange(8.0).expand(1, 8, 8)
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    steps = [8 * 7 * 1 / 64, 4 * 3 * 2 / 16, 2 * 1 * 4 / 4, 0.0]
    for scales in (1, 2, 3, 4):
        torch.testing.assert_close(gradient_matching(residual, valid, scales), torch.tensor([sum(steps[:scales])]))


def test_medians_are_of_valid_values_and_of_none_zero():
    values = torch.tensor([[5.0, 1.0, 9.0, 2.0], [5.0, 1.0, 9.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    valid = torch.tensor([[True] * 4, [True, False, True, True], [False] * 4])
    assert masked_median(values, valid).flatten().tolist() == [2.0, 5.0, 0.0]


def test_normalised_depth_has_median_0_and_mean_distance_1():
    depth, valid = noise(3, *SIZE, seed=5), torch.rand(3, *SIZE) > 0.3
    given = normalised(depth, valid)
    assert not given[~valid].any()
    for one, kept in zip(given, valid, strict=True):
        assert one[kept].median() == 0
        torch.testing.assert_close(one[kept].abs().mean(), torch.tensor(1.0))
