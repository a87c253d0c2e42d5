"""EdgeBoxSetCriterion, and denoising in both set losses of boxes: contract, merged matchings, what counts."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as functional
import torch.utils._pytree as pytree

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.errors import ContractError
from backbonekit.heads.d_fine.loss import (
    EdgeBoxSetCriterion,
    fine_grained_localization_loss,
    localization_distillation_loss,
)
from backbonekit.losses.box_matching import most_matched
from backbonekit.losses.box_set import BoxSetCriterion
from backbonekit.ops.edge_distributions import weighting_function
from tests.losses.criterion_tester import SIZE, CriterionTester
from tests.losses.test_box_set import boxes, noise

CLASSES, QUERIES, BINS, SLOTS = 4, 8, 6, 4


def layer(batch, queries, seed, *, is_fine):
    prediction = BoxQueries(
        noise(batch, queries, CLASSES, seed=seed), noise(batch, queries, 4, seed=seed + 1).sigmoid() * 0.8 + 0.1
    )
    if is_fine:
        prediction.edge_logits = noise(batch, queries, 4, BINS + 1, seed=seed + 2)
        prediction.reference_boxes = noise(batch, queries, 4, seed=seed + 3).sigmoid() * 0.5 + 0.2
    return prediction


class QuerySetTester(CriterionTester):
    """Two layers, proposals, and two groups of denoising queries of at most four boxes."""

    keys = ("labels", "boxes")
    is_fine: ClassVar[bool]

    def prediction(self, batch):
        prediction = layer(batch, QUERIES, 0, is_fine=self.is_fine)
        first = (layer(batch, QUERIES, 10, is_fine=False),) if self.is_fine else ()
        prediction.auxiliary = (*first, layer(batch, QUERIES, 20, is_fine=self.is_fine))
        prediction.proposals = layer(batch, QUERIES, 30, is_fine=False)
        count = 4 * SLOTS
        slot = torch.arange(count) % SLOTS
        present = torch.tensor([index + 2 for index in range(batch)])
        prediction.denoising = DenoisingQueries(
            (
                layer(batch, count, 40, is_fine=False),
                *(layer(batch, count, seed, is_fine=self.is_fine) for seed in (50, 60)),
            ),
            slot.expand(batch, -1).masked_fill(slot >= present[:, None], -1),
            (torch.arange(count) // SLOTS % 2 == 0).expand(batch, -1),
        )
        return prediction

    def target(self, index):
        labels = torch.randint(0, CLASSES, (index + 2,), generator=torch.Generator().manual_seed(index))
        return {"labels": labels, "boxes": boxes(index + 2, seed=10 + index)}

    def empty_target(self):
        return {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}

    @staticmethod
    def with_gradients(prediction):
        """Floating-point tensors require gradients; indices of targets do not."""

        def leaf(one):
            return one.detach().clone().requires_grad_() if one.is_floating_point() else one

        return pytree.tree_map_only(torch.Tensor, leaf, prediction)

    @staticmethod
    def leaves(prediction):
        """Reference boxes of distributions get no gradient."""
        references = {
            id(one.reference_boxes) for one in [prediction, *prediction.auxiliary, *prediction.denoising.layers]
        }
        return [
            one
            for one in pytree.tree_leaves(prediction)
            if isinstance(one, torch.Tensor) and one.is_floating_point() and id(one) not in references
        ]

    def test_an_empty_target_is_legal(self) -> None:
        prediction = self.prediction(2)
        prediction.denoising.target_index.fill_(-1)
        prediction = self.with_gradients(prediction)
        terms = self.run(prediction, [self.empty_target(), self.empty_target()])
        assert all(term.isfinite() for term in terms.values())
        sum(terms.values()).backward()
        assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in self.leaves(prediction))

    def test_runs_under_half_precision(self) -> None:
        def half(one):
            return one.bfloat16() if one.is_floating_point() else one

        terms = self.run(
            self.with_gradients(pytree.tree_map_only(torch.Tensor, half, self.prediction(2))), self.targets(2)
        )
        assert all(term.isfinite() for term in terms.values())

    def test_a_missing_key_has_zero_loss_even_where_the_prediction_is_infinite(self) -> None:
        def infinite(one):
            return torch.full_like(one, float("inf")) if one.is_floating_point() else one

        self.assert_zero_with_a_connected_graph(
            pytree.tree_map_only(torch.Tensor, infinite, self.prediction(2)), [{}, {}]
        )

    def test_twice_as_many_copies_change_no_term_of_boxes(self):
        """Sums over copies are divided by how many there are of each box."""
        prediction, targets = self.prediction(2), self.targets(2)
        before = self.run(prediction, targets)
        prediction.denoising = pytree.tree_map_only(
            torch.Tensor, lambda one: torch.cat((one, one), dim=1), prediction.denoising
        )
        after = self.run(prediction, targets)
        assert any("_denoising_" in name for name in before)
        for name, term in before.items():
            torch.testing.assert_close(after[name], term, msg=name)

    def test_denoising_queries_are_compared_with_the_box_they_were_made_from(self):
        """Perfect copies cost nothing."""
        prediction, targets = self.prediction(1), [self.target(0)]
        scale = torch.tensor([SIZE[1], SIZE[0]] * 2)
        corners = targets[0]["boxes"] / scale
        exact = torch.cat(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]), dim=1)
        last = prediction.denoising.layers[-1]
        real = prediction.denoising.target_index[0] >= 0
        last.boxes_cxcywh[0, real] = exact[prediction.denoising.target_index[0, real]]
        terms = self.run(prediction, targets)
        assert terms["box_denoising_2"] < 1e-5
        assert terms["giou_denoising_2"] < 1e-5
        assert terms["box_denoising_1"] > 0.1


class TestBoxSetWithDenoising(QuerySetTester):
    criterion = BoxSetCriterion
    options: ClassVar[dict] = {"num_classes": CLASSES, "classification": "varifocal"}
    is_fine = False


class TestEdgeBoxSet(QuerySetTester):
    criterion = EdgeBoxSetCriterion
    options: ClassVar[dict] = {"num_classes": CLASSES}
    is_fine = True

    def test_names_every_term(self):
        everywhere = ["", "_0", "_1", "_proposals", "_denoising_0", "_denoising_1", "_denoising_2"]
        fine = ["", "_1", "_denoising_1", "_denoising_2"]
        expected = {f"{name}{suffix}" for name in ("class", "box", "giou") for suffix in everywhere}
        expected |= {f"edge{suffix}" for suffix in fine} | {"distillation_1", "distillation_denoising_1"}
        assert set(self.run(self.prediction(2), self.targets(2))) == expected

    def test_distillation_has_no_gradient_in_the_last_layer(self):
        prediction = self.with_gradients(self.prediction(2))
        self.run(prediction, self.targets(2))["distillation_1"].backward()
        assert not prediction.edge_logits.grad.any()
        assert prediction.auxiliary[1].edge_logits.grad.any()

    def test_the_union_of_equal_matchings_is_the_matching(self):
        prediction, targets = self.prediction(2), self.targets(2)
        prediction.auxiliary = ()
        prediction.proposals = None
        for name, term in self.run(prediction, targets, matching="layer").items():
            torch.testing.assert_close(self.run(prediction, targets, matching="union")[name], term, msg=name)

    def test_weights_scale_their_terms(self):
        prediction, targets = self.prediction(2), self.targets(2)
        once, twice = (
            self.run(prediction, targets),
            self.run(prediction, targets, edge_weight=0.3, distillation_weight=3.0),
        )
        for name, term in once.items():
            factor = 2 if name.startswith(("edge", "distillation")) else 1
            torch.testing.assert_close(twice[name], term * factor, msg=name)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"edge_logits": None}, "requires distributions of edges.*The fix: head.criterion.name=box_set"),
            ({"class_logits": torch.zeros(2, QUERIES, 5)}, "num_classes=4 and the prediction has 5 columns"),
        ],
    )
    def test_a_prediction_of_another_kind_is_refused(self, change, message):
        prediction = self.prediction(2)
        for name, value in change.items():
            setattr(prediction, name, value)
        with pytest.raises(ContractError, match=message):
            EdgeBoxSetCriterion(num_classes=CLASSES)(prediction, self.targets(2), Canvas(SIZE))


def test_the_union_assigns_the_box_that_most_layers_matched():
    index = torch.tensor([[[0, 1, -1, 2, -1]], [[0, 2, -1, -1, -1]], [[1, 2, -1, -1, -1]]])
    assert most_matched(index, 3).tolist() == [[[0, 2, -1, 2, -1]]]
    assert most_matched(torch.full((2, 1, 3), -1), 0).tolist() == [[[-1, -1, -1]]]


def test_the_localization_loss_is_the_cross_entropy_with_two_bins():
    distances = weighting_function(BINS, reach=torch.tensor([0.5]), scale=torch.tensor([4.0]))
    reference, target = torch.tensor([[0.5, 0.5, 0.4, 0.4]]), torch.tensor([[0.5, 0.5, 0.4, 0.4]])
    logits = noise(1, 4, BINS + 1, seed=1)
    given = fine_grained_localization_loss(
        logits, reference, target, torch.tensor([0.7]), distances=distances, scale=torch.tensor([4.0])
    )
    middle = torch.full((4,), BINS // 2)  # no change
    expected = 0.7 * functional.cross_entropy(logits[0], middle, reduction="sum")
    torch.testing.assert_close(given[0], expected, rtol=1e-4, atol=1e-4)


def test_distillation_of_equal_distributions_is_zero():
    logits = noise(1, 2, 5, 4, BINS + 1, seed=2)
    matched = torch.tensor([[[True, False, True, False, False]] * 2])
    quality = torch.rand(1, 2, 5)
    same = localization_distillation_loss(logits, logits[0], noise(2, 5, CLASSES, seed=3), quality, matched)
    assert same.abs().max() < 1e-6
    other = localization_distillation_loss(logits, logits[0].flip(-1), noise(2, 5, CLASSES, seed=3), quality, matched)
    assert other > 0.1
