"""BoxSetCriterion: the criterion's contract, what is matched, what counts and what does not."""

from typing import ClassVar

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries
from backbonekit.errors import ContractError
from backbonekit.losses.box_matching import MatchingCosts, match_boxes
from backbonekit.losses.box_set import BoxSetCriterion
from backbonekit.ops.targets import read_box_targets
from tests.losses.criterion_tester import SIZE, CriterionTester
from tests.losses.random_inputs import noise
from tests.losses.set_checks import assert_one_to_one, count_in_three_processes

CLASSES = 4


def boxes(count, seed, size=SIZE):
    """x0, y0, x1, y1 inside a canvas, none of them empty."""
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed))
    ordered = torch.cat((corners.amin(1), corners.amax(1) + 0.05), dim=1).clamp(max=1)
    return ordered * torch.tensor([size[1], size[0]] * 2)


class TestBoxSet(CriterionTester):
    """With a column of "no object"."""

    criterion = BoxSetCriterion
    options: ClassVar[dict] = {"num_classes": CLASSES}
    keys = ("labels", "boxes")
    columns: ClassVar[int] = CLASSES + 1
    layers: ClassVar[int] = 1
    proposals: ClassVar[int] = 0

    def prediction(self, batch):
        def one(queries, seed):
            return BoxQueries(
                noise(batch, queries, self.columns, seed=seed), noise(batch, queries, 4, seed=seed + 1).sigmoid()
            )

        layers = [one(6, 2 * layer) for layer in range(self.layers)]
        proposals = one(self.proposals, 50) if self.proposals else None
        return BoxQueries(layers[0].class_logits, layers[0].boxes_cxcywh, tuple(layers[1:]) or None, proposals)

    def target(self, index):
        count = index + 2
        labels = torch.randint(0, CLASSES, (count,), generator=torch.Generator().manual_seed(index))
        return {"labels": labels, "boxes": boxes(count, seed=10 + index)}

    def empty_target(self):
        return {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}

    def test_names_every_layer(self):
        suffixes = ["", *(f"_{layer}" for layer in range(self.layers - 1)), *["_proposals"][: self.proposals]]
        expected = {f"{name}{suffix}" for name in ("class", "box", "giou") for suffix in suffixes}
        assert set(self.run(self.prediction(2), self.targets(2))) == expected

    def test_without_any_box_only_classes_are_learned(self):
        terms = self.run(self.prediction(2), [self.empty_target(), self.empty_target()])
        for name, term in terms.items():
            assert (term > 0) == name.startswith("class"), name

    def test_a_perfect_prediction_costs_almost_nothing(self):
        targets = self.targets(2)
        logits = torch.full((2, 6, self.columns), -30.0)
        if self.columns > CLASSES:
            logits[..., CLASSES] = 0.0
        predicted = torch.full((2, 6, 4), 0.5)
        for image, target in enumerate(targets):
            for query, (label, box) in enumerate(zip(target["labels"], target["boxes"], strict=True), 1):
                logits[image, query] = -30.0
                logits[image, query, label] = 30.0
                relative = box / torch.tensor([SIZE[1], SIZE[0]] * 2)
                predicted[image, query] = torch.cat(((relative[:2] + relative[2:]) / 2, relative[2:] - relative[:2]))
        terms = self.run(BoxQueries(logits, predicted), targets)
        assert all(term < 1e-4 for term in terms.values())

    def test_weights_scale_their_terms_and_costs_do_not(self):
        prediction, targets = self.prediction(2), self.targets(2)
        once = self.run(prediction, targets, class_weight=1.0, box_weight=2.0, giou_weight=3.0)
        twice = self.run(prediction, targets, class_weight=5.0, box_weight=4.0, giou_weight=6.0)
        for name, term in once.items():
            torch.testing.assert_close(twice[name], term * (5 if name.startswith("class") else 2))

    def test_costs_decide_the_pairs(self):
        prediction, targets = self.prediction(3), self.targets(3)
        near = self.run(prediction, targets, class_cost=0.0, box_cost=1.0, giou_cost=0.0)
        other = self.run(prediction, targets, class_cost=1.0, box_cost=0.0, giou_cost=0.0)
        assert near["box"] < other["box"]

    def test_images_without_the_keys_count_in_nothing(self):
        prediction, targets = self.prediction(3), self.targets(3)
        expected = self.run(self.picked(prediction, [0, 2]), [targets[0], targets[2]])
        torch.testing.assert_close(self.run(prediction, [targets[0], {}, targets[2]]), expected)
        torch.testing.assert_close(
            self.run(prediction, [targets[0], {"labels": torch.tensor([1])}, targets[2]]), expected
        )

    def test_boxes_are_relative_to_the_image_without_its_padding(self):
        prediction, targets = self.prediction(2), self.targets(2)
        expected = self.run(prediction, targets)
        mask = torch.ones(2, SIZE[0] * 2, SIZE[1] * 3, dtype=torch.bool)
        mask[:, SIZE[0] :], mask[:, :, SIZE[1] :] = False, False
        given = self.build()(prediction, targets, Canvas((SIZE[0] * 2, SIZE[1] * 3), mask))
        torch.testing.assert_close(given, expected)
        other = self.build()(prediction, targets, Canvas((SIZE[0] * 2, SIZE[1] * 3)))
        assert not torch.allclose(other["box"], expected["box"])

    def test_an_image_of_padding_alone_is_finite(self):
        prediction = self.with_gradients(self.prediction(2))
        terms = self.run(prediction, self.targets(2), torch.zeros(2, *SIZE, dtype=torch.bool))
        sum(terms.values()).backward()
        assert all(term.isfinite() for term in terms.values())
        assert all(leaf.grad.isfinite().all() for leaf in self.leaves(prediction))

    def test_more_boxes_than_queries(self):
        terms = self.run(self.prediction(1), [{"labels": torch.arange(9) % 4, "boxes": boxes(9, seed=3)}])
        assert all(term.isfinite() and term > 0 for term in terms.values())

    def test_boxes_without_extent_are_finite(self):
        prediction = self.with_gradients(self.prediction(1))
        prediction.boxes_cxcywh.data[..., 2:] = 0.0
        point = torch.tensor([[3.0, 4.0, 3.0, 4.0]])
        terms = self.run(prediction, [{"labels": torch.tensor([1]), "boxes": point}])
        sum(terms.values()).backward()
        assert all(term.isfinite() for term in terms.values())
        assert all(leaf.grad.isfinite().all() for leaf in self.leaves(prediction))

    def test_not_a_number_does_not_stop_the_matching(self):
        prediction = self.prediction(2)
        prediction.boxes_cxcywh[0, 2] = float("nan")
        prediction.class_logits[1, 3] = float("inf")
        assert self.run(prediction, self.targets(2)).keys()

    def test_half_precision_predictions_are_compared_in_float32(self):
        prediction, targets = self.prediction(2), self.targets(2)
        half = BoxQueries(prediction.class_logits.bfloat16(), prediction.boxes_cxcywh.bfloat16())
        expected = self.run(BoxQueries(half.class_logits.float(), half.boxes_cxcywh.float()), targets)
        with torch.autocast("cpu", torch.bfloat16):
            given = self.run(half, targets)
        assert all(term.dtype == torch.float32 for term in given.values())
        torch.testing.assert_close(given, expected)

    def test_one_transfer_to_the_host(self, monkeypatch):
        """Two where proposals are more than queries. The check of boxes reads on the CPU alone."""
        monkeypatch.setattr("backbonekit.ops.targets.check_boxes", lambda boxes, size, image: None)
        transfers = []
        for name in ("cpu", "item", "tolist", "__bool__"):
            original = getattr(torch.Tensor, name)

            def watched(tensor, *given, original=original, name=name):
                transfers.append(name)
                return original(tensor, *given)

            monkeypatch.setattr(torch.Tensor, name, watched)
        terms = self.run(self.prediction(2), self.targets(2))
        monkeypatch.undo()
        assert terms
        assert transfers == ["cpu"] * (2 if self.proposals else 1)


class TestBoxSetWithAuxiliary(TestBoxSet):
    layers = 3

    def test_each_layer_has_the_terms_of_a_final_one(self):
        prediction, targets = self.prediction(2), self.targets(2)
        terms = self.run(prediction, targets)
        for position, layer in enumerate(prediction.auxiliary):
            for name, term in self.run(layer, targets).items():
                torch.testing.assert_close(terms[f"{name}_{position}"], term)


class TestBoxSetFocal(TestBoxSetWithAuxiliary):
    """Without a column of "no object"; and more proposals than queries, whose targets are objectness."""

    columns = CLASSES
    options: ClassVar[dict] = {"num_classes": CLASSES, "proposals": "objectness"}
    proposals = 11

    def test_targets_of_proposals(self):
        prediction, targets = self.prediction(2), self.targets(2)
        terms = self.run(prediction, targets)
        relabelled = [{**target, "labels": torch.zeros_like(target["labels"])} for target in targets]
        for name, term in self.run(prediction.proposals, relabelled).items():
            torch.testing.assert_close(terms[f"{name}_proposals"], term)


class TestBoxSetVarifocal(TestBoxSetWithAuxiliary):
    columns = CLASSES
    options: ClassVar[dict] = {"num_classes": CLASSES, "classification": "varifocal", "alpha": 0.75}


class TestProposalsAsManyAsQueries(TestBoxSetFocal):
    options: ClassVar[dict] = {"num_classes": CLASSES}
    proposals = 6

    def test_targets_of_proposals(self):
        """The targets are the classes."""
        prediction, targets = self.prediction(2), self.targets(2)
        terms = self.run(prediction, targets)
        for name, term in self.run(prediction.proposals, targets).items():
            torch.testing.assert_close(terms[f"{name}_proposals"], term)

    def test_one_transfer_to_the_host(self, monkeypatch):
        """All at once."""
        transfers = []
        cpu = torch.Tensor.cpu
        monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(1) or cpu(tensor))
        assert self.run(self.prediction(2), self.targets(2))
        assert len(transfers) == 1


@pytest.mark.parametrize("counts", [(2, 3), (0, 4), (9, 1), (0, 0)])
def test_as_many_matches_as_the_smaller_side_has(counts):
    prediction = TestBoxSetWithAuxiliary().prediction(2)
    targets = [{"labels": torch.arange(n) % CLASSES, "boxes": boxes(n, seed=n)} for n in counts]
    box_targets = read_box_targets(targets, Canvas(SIZE), like=prediction.boxes_cxcywh)
    costs = MatchingCosts(1.0, 5.0, 2.0, is_sigmoid=False)
    matches = match_boxes((prediction, *prediction.auxiliary), box_targets, num_classes=CLASSES, costs=costs)
    assert len(matches.queries) == 3
    assert_one_to_one(matches.rows, matches.queries, matches.targets, counts=counts, most=6)


def test_boxes_are_counted_over_all_processes(monkeypatch):
    tester, sent = TestBoxSetFocal(), count_in_three_processes(monkeypatch)
    prediction, targets = tester.prediction(3), tester.targets(3)  # 2 + 3 + 4 boxes
    together = tester.run(prediction, targets)
    assert sent == [9]
    monkeypatch.undo()
    alone = tester.run(prediction, targets)
    for name, term in alone.items():
        torch.testing.assert_close(together[name], term * 9 / 7)  # 21 boxes in 3 processes


@pytest.mark.parametrize("target", [{}, TestBoxSet().empty_target()])
def test_a_process_without_boxes_takes_part_in_the_count(monkeypatch, target):
    tester, sent = TestBoxSetFocal(), count_in_three_processes(monkeypatch)
    tester.run(tester.prediction(2), [target, target])
    assert sent == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": torch.tensor([0, 4])},
            r"labels\[1\] of image 1 is not a class; with num_classes=4 labels run from 0 to 3",
        ),
        ({"labels": torch.tensor([0, -1])}, r"labels\[1\] of image 1 is not a class"),
        ({"labels": torch.tensor([0])}, r"targets\[1\]: labels \[1\] and boxes \[2, 4\] do not go together"),
        ({"boxes": torch.zeros(2, 5)}, r"boxes \[2, 5\] do not go together"),
        (
            {"boxes": torch.tensor([[1.0, 2.0, 3.0, 4.0], [9.0, 8.0, 3.0, 9.0]])},
            r"boxes\[1\] is \[9, 8, 3, 9\]; a box is x0, y0, x1, y1.*box_convert",
        ),
        ({"boxes": torch.tensor([[1.0, 2.0, 3.0, 4.0], [9.0, float("nan"), 13.0, 9.0]])}, r"\[9, nan, 13, 9\]"),
    ],
)
def test_refuses_boxes_and_labels_that_are_wrong(changes, message):
    tester = TestBoxSet()
    targets = [tester.target(0), {"labels": torch.tensor([0, 1]), "boxes": boxes(2, seed=0), **changes}]
    with pytest.raises(ContractError, match=message):
        tester.run(tester.prediction(2), targets)


@pytest.mark.parametrize(
    ("columns", "classification", "required"), [(5, "focal", 4), (4, "cross_entropy", 5), (7, "auto", 4)]
)
def test_refuses_columns_that_do_not_fit(columns, classification, required):
    prediction = BoxQueries(torch.zeros(1, 3, columns), torch.full((1, 3, 4), 0.5))
    with pytest.raises(ContractError, match=f"requires {required} columns .* the prediction has {columns}"):
        BoxSetCriterion(num_classes=CLASSES, classification=classification)(prediction, [{}], Canvas(SIZE))


def test_refuses_another_number_of_targets():
    tester = TestBoxSet()
    with pytest.raises(ContractError, match="1 targets for 2 images"):
        tester.run(tester.prediction(2), tester.targets(1))
