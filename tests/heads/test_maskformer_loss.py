"""MaskSetCriterion: the criterion's contract, what is matched, what counts and what does not."""

from typing import ClassVar

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import ContractError
from backbonekit.heads.maskformer.loss import EveryPixel, MaskSetCriterion
from backbonekit.losses import mask_targets
from backbonekit.losses.mask_matching import match_masks
from backbonekit.losses.mask_targets import read_mask_targets
from tests.losses.criterion_tester import SIZE, CriterionTester
from tests.losses.random_inputs import blobs, noise
from tests.losses.set_checks import assert_one_to_one, count_in_three_processes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class TestMaskSet(CriterionTester):
    criterion = MaskSetCriterion
    options = {"num_classes": 4}
    keys = ("labels", "masks")
    layers: ClassVar[int] = 1

    def prediction(self, batch):
        predictions = [
            MaskQueries(noise(batch, 6, 5, seed=2 * layer), 3 * noise(batch, 6, 6, 8, seed=2 * layer + 1))
            for layer in range(self.layers)
        ]
        return MaskQueries(predictions[0].class_logits, predictions[0].mask_logits, tuple(predictions[1:]) or None)

    def target(self, index):
        count = index + 2
        labels = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(index))
        return {"labels": labels, "masks": blobs(count, seed=10 + index)}

    def empty_target(self):
        return {"labels": torch.zeros(0, dtype=torch.long), "masks": torch.zeros(0, *SIZE, dtype=torch.bool)}

    def test_without_any_mask_only_no_object_is_learned(self):
        terms = self.run(self.prediction(2), [self.empty_target(), self.empty_target()])
        for name, term in terms.items():
            assert (term > 0) == name.startswith("class"), name

    def test_without_any_mask_and_weight_for_no_object_the_loss_is_zero(self):
        terms = self.run(self.prediction(2), [self.empty_target()] * 2, no_object_weight=0.0)
        assert all(term == 0 for term in terms.values())

    def test_a_perfect_prediction_costs_almost_nothing(self):
        targets = [self.target(index) for index in range(2)]
        class_logits, mask_logits = torch.zeros(2, 6, 5), torch.full((2, 6, *SIZE), -30.0)
        class_logits[..., 4] = 30.0
        for image, target in enumerate(targets):
            for query, (label, mask) in enumerate(zip(target["labels"], target["masks"], strict=True), 1):
                class_logits[image, query, 4], class_logits[image, query, label] = 0.0, 30.0
                mask_logits[image, query] = 60.0 * mask - 30.0
        terms = self.run(MaskQueries(class_logits, mask_logits), targets)
        assert all(term < 1e-4 for term in terms.values())

    def test_weights_scale_their_terms(self):
        # The weights of masks take part in the matching, so both are scaled alike, and the class is left out of it.
        prediction, targets = self.prediction(2), self.targets(2)
        prediction.class_logits = torch.zeros_like(prediction.class_logits)
        once = self.run(prediction, targets, class_weight=1.0, mask_weight=2.0, dice_weight=3.0)
        twice = self.run(prediction, targets, class_weight=5.0, mask_weight=4.0, dice_weight=6.0)
        torch.testing.assert_close(twice["class"], once["class"] * 5)
        torch.testing.assert_close(twice["mask"], once["mask"] * 2)
        torch.testing.assert_close(twice["dice"], once["dice"] * 2)

    def test_images_without_the_keys_add_no_loss(self):
        prediction, targets = self.prediction(3), self.targets(3)
        expected = self.run(self.picked(prediction, [0, 2]), [targets[0], targets[2]])
        torch.testing.assert_close(self.run(prediction, [targets[0], {}, targets[2]]), expected)
        torch.testing.assert_close(
            self.run(prediction, [targets[0], {"labels": torch.tensor([1])}, targets[2]]), expected
        )

    def test_padding_adds_no_loss(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[0, 16:], mask[1, :, 8:] = False, False
        expected = self.run(prediction, targets, mask)
        for layer in (prediction, *(prediction.auxiliary or ())):
            layer.mask_logits = layer.mask_logits.clone()
            # One position of 4 x 4 pixels further, since logits are interpolated across the border.
            layer.mask_logits[0, :, 5:], layer.mask_logits[1, :, :, 3:] = 40.0, -40.0
        relabelled = [{**target, "masks": target["masks"].clone()} for target in targets]
        relabelled[0]["masks"][:, 16:], relabelled[1]["masks"][:, :, 8:] = True, True
        torch.testing.assert_close(self.run(prediction, relabelled, mask), expected)

    def test_a_mask_without_padding_changes_nothing(self):
        prediction, targets = self.prediction(2), self.targets(2)
        full = self.run(prediction, targets, torch.ones(2, *SIZE, dtype=torch.bool))
        torch.testing.assert_close(full, self.run(prediction, targets))

    def test_an_image_of_padding_alone_is_finite(self):
        prediction = self.with_gradients(self.prediction(2))
        terms = self.run(prediction, self.targets(2), torch.zeros(2, *SIZE, dtype=torch.bool))
        sum(terms.values()).backward()
        assert all(term.isfinite() for term in terms.values())
        assert all(leaf.grad.isfinite().all() for leaf in self.leaves(prediction))

    def test_masks_may_be_bool_or_uint8_and_smaller_than_the_canvas(self):
        prediction, targets = self.prediction(2), self.targets(2)
        targets[0]["masks"][:, 20:], targets[0]["masks"][:, :, 17:] = False, False
        expected = self.run(prediction, targets)
        targets[0]["masks"] = targets[0]["masks"][:, :20, :17].to(torch.uint8) * 255
        torch.testing.assert_close(self.run(prediction, targets), expected)

    def test_a_segmentation_is_the_set_of_its_classes(self):
        prediction = self.prediction(2)
        segmentation = torch.stack([3 * blobs(1, seed=5)[0].long(), blobs(1, seed=6)[0].long()])
        masks = [
            {"labels": torch.tensor([0, 3]), "masks": segmentation[0] == torch.tensor([0, 3])[:, None, None]},
            {"labels": torch.tensor([0, 1]), "masks": segmentation[1] == torch.tensor([0, 1])[:, None, None]},
        ]
        expected = self.run(prediction, masks)
        torch.testing.assert_close(
            self.run(prediction, [{"segmentation": one, "class": torch.tensor(1)} for one in segmentation]), expected
        )
        torch.testing.assert_close(self.run(prediction, [{"segmentation": segmentation[0]}, masks[1]]), expected)
        torch.testing.assert_close(self.run(prediction, [masks[0], {"segmentation": segmentation[1]}]), expected)

    def test_ignored_pixels_are_as_padding(self):
        prediction = self.prediction(1)
        segmentation = 2 * blobs(1, seed=7)[0].long()
        mask = torch.ones(1, *SIZE, dtype=torch.bool)
        mask[0, :, 20:] = False
        expected = self.run(prediction, [{"segmentation": segmentation}], mask)
        segmentation[:, 20:] = IGNORE_LABEL
        torch.testing.assert_close(self.run(prediction, [{"segmentation": segmentation}]), expected)
        torch.testing.assert_close(self.run(prediction, [{"segmentation": segmentation[:, :20]}]), expected)

    def test_more_masks_than_queries(self):
        prediction = self.prediction(1)
        labels, masks = torch.arange(9) % 4, blobs(9, seed=3)
        terms = self.run(prediction, [{"labels": labels, "masks": masks}])
        assert all(term.isfinite() and term > 0 for term in terms.values())

    def test_not_a_number_does_not_stop_the_matching(self):
        prediction = self.prediction(2)
        prediction.mask_logits[0, 2] = float("nan")
        prediction.class_logits[1, 3] = float("inf")
        assert self.run(prediction, self.targets(2)).keys()

    def test_half_precision_predictions_are_compared_in_float32(self):
        prediction, targets = self.prediction(2), self.targets(2)
        half = MaskQueries(prediction.class_logits.bfloat16(), prediction.mask_logits.bfloat16())
        single = MaskQueries(half.class_logits.float(), half.mask_logits.float())
        expected = self.run(single, targets)
        with torch.autocast("cpu", torch.bfloat16):
            given = self.run(half, targets)
        assert all(term.dtype == torch.float32 for term in given.values())
        torch.testing.assert_close(given, expected)

    def test_one_transfer_to_the_host(self, monkeypatch):
        monkeypatch.setattr(mask_targets, "check_labels", lambda *given, **named: None)  # which reads on the CPU alone
        transfers = []
        cpu = torch.Tensor.cpu
        monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(1) or cpu(tensor))
        for name in ("item", "tolist", "numpy", "__bool__"):
            original = getattr(torch.Tensor, name)

            def watched(tensor, original=original, name=name):
                assert name == "numpy", f"{name} reads a value"
                return original(tensor)

            monkeypatch.setattr(torch.Tensor, name, watched)
        self.run(self.prediction(3), self.targets(3))
        assert len(transfers) == 1

    def test_compiles_with_targets(self):
        torch._dynamo.reset()
        criterion = self.build()

        def total(prediction, targets):
            return sum(criterion(prediction, targets, Canvas(SIZE)).values())

        compiled = torch.compile(total, backend="eager", fullgraph=self.compiles)
        for start in range(3):  # other numbers of masks
            prediction, targets = self.prediction(2), [self.target(start), self.target(start + 1)]
            torch.testing.assert_close(compiled(prediction, targets), total(prediction, targets))


class TestMaskSetWithAuxiliary(TestMaskSet):
    layers = 3

    def test_every_layer_has_the_terms_of_the_last(self):
        prediction, targets = self.prediction(2), self.targets(2)
        terms = self.run(prediction, targets)
        for index, auxiliary in enumerate(prediction.auxiliary):
            expected = self.run(MaskQueries(auxiliary.class_logits, auxiliary.mask_logits), targets)
            for name, term in expected.items():
                torch.testing.assert_close(terms[f"{name}_{index}"], term)
        assert len(terms) == 9


class TestMaskSetOnSegmentations(TestMaskSet):
    keys = ("segmentation",)
    compiles = False  # not as one graph: how many classes there are is seen on the host

    def target(self, index):
        return {"segmentation": torch.where(blobs(1, seed=index)[0], index % 3 + 1, 0)}

    def empty_target(self):
        return {"segmentation": torch.full(SIZE, IGNORE_LABEL)}

    # about `masks`, not `segmentation`
    test_a_perfect_prediction_costs_almost_nothing = None
    test_padding_adds_no_loss = None
    test_masks_may_be_bool_or_uint8_and_smaller_than_the_canvas = None

    def test_masks_are_never_split_at_full_size(self):
        targets = self.targets(2)
        read = read_mask_targets(targets, Canvas(SIZE), num_classes=150, ignore_label=255, device=torch.device("cpu"))
        assert read.masks is None
        assert read.present.sum(1).tolist() == [2, 2]


def test_masks_are_counted_over_all_processes(monkeypatch):
    tester, sent = TestMaskSet(), count_in_three_processes(monkeypatch)
    prediction, targets = tester.prediction(3), tester.targets(3)  # 2 + 3 + 4 masks
    together = tester.run(prediction, targets)
    assert sent == [9]
    monkeypatch.undo()
    alone = tester.run(prediction, targets)
    torch.testing.assert_close(together["mask"], alone["mask"] * 9 / 7)  # 21 masks in 3 processes
    torch.testing.assert_close(together["dice"], alone["dice"] * 9 / 7)
    torch.testing.assert_close(together["class"], alone["class"])


@pytest.mark.parametrize("target", [{}, TestMaskSet().empty_target()])
def test_a_process_without_masks_takes_part_in_the_count(monkeypatch, target):
    tester, sent = TestMaskSet(), count_in_three_processes(monkeypatch)
    tester.run(tester.prediction(2), [target, target])
    assert sent == [0]


def mask_targets_of(targets, num_classes=4):
    return read_mask_targets(
        targets, Canvas(SIZE), num_classes=num_classes, ignore_label=255, device=torch.device("cpu")
    )


@pytest.mark.parametrize("counts", [(2, 3), (0, 4), (9, 1), (0, 0)])
def test_as_many_matches_as_the_smaller_side_has(counts):
    tester = TestMaskSetWithAuxiliary()
    prediction = tester.prediction(2)
    targets = [{"labels": torch.arange(n) % 4, "masks": blobs(n, seed=n)} for n in counts]
    layers, read = (prediction, *prediction.auxiliary), mask_targets_of(targets)
    matches = match_masks(layers, read, sum(EveryPixel().costs(layers, read, Canvas(SIZE))), num_classes=4)
    assert len(matches.queries) == 3
    assert matches.num_masks == max(1, sum(counts))
    assert_one_to_one(matches.rows, matches.queries, matches.targets, counts=counts, most=6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": torch.tensor([0, 4])},
            r"labels\[1\] of image 1 is not a class; with num_classes=4 labels run from 0 to 3",
        ),
        ({"labels": torch.tensor([0, -1])}, r"labels\[1\] of image 1 is not a class"),
        ({"labels": torch.tensor([0])}, r"labels \[1\] and masks \[2, 24, 32\] do not go together"),
        ({"masks": torch.zeros(2, 25, 32)}, "masks of 25x32 pixels, larger than the input's 24x32"),
        ({"masks": torch.zeros(2, 32)}, "labels are"),
    ],
)
def test_refuses_masks_and_labels_that_are_wrong(changes, message):
    tester = TestMaskSet()
    targets = [tester.target(0), {"labels": torch.tensor([0, 1]), "masks": blobs(2, seed=0), **changes}]
    with pytest.raises(ContractError, match=message):
        tester.run(tester.prediction(2), targets)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (torch.full(SIZE, 9), "segmentation holds the label 9; with num_classes=4"),
        (torch.zeros(1, *SIZE, dtype=torch.long), r"must be \[height, width\]"),
        (torch.zeros(24, 33, dtype=torch.long), "24x33 pixels, larger than"),
    ],
)
def test_refuses_segmentations_that_are_wrong(segmentation, message):
    tester = TestMaskSet()
    with pytest.raises(ContractError, match=message):
        tester.run(tester.prediction(1), [{"segmentation": segmentation}])


def test_with_more_than_255_classes_255_is_a_class_and_minus_one_is_ignored():
    prediction = MaskQueries(torch.zeros(1, 3, 301), torch.zeros(1, 3, 6, 8))
    targets = [{"segmentation": torch.full(SIZE, 255)}]
    assert MaskSetCriterion(num_classes=300)(prediction, targets, Canvas(SIZE))["mask"] > 0
    assert MaskSetCriterion(num_classes=300, ignore_label=255)(prediction, targets, Canvas(SIZE))["mask"] == 0
    nothing = [{"segmentation": torch.full(SIZE, -1)}]
    assert MaskSetCriterion(num_classes=300)(prediction, nothing, Canvas(SIZE))["mask"] == 0
    # Masks know no ignored label, so many classes are no matter.
    target = {"labels": torch.tensor([255]), "masks": blobs(1, seed=0)}
    assert MaskSetCriterion(num_classes=300)(prediction, [target], Canvas(SIZE))["mask"] > 0


def test_one_class_is_the_label_1_of_a_segmentation():
    prediction = MaskQueries(noise(1, 3, 2, seed=0), noise(1, 3, 6, 8, seed=1))
    mask = blobs(1, seed=2)
    criterion = MaskSetCriterion(num_classes=1)
    given = criterion(prediction, [{"segmentation": mask[0].long()}], Canvas(SIZE))
    expected = criterion(prediction, [{"labels": torch.zeros(1, dtype=torch.long), "masks": mask}], Canvas(SIZE))
    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("filling", [255, 254, 0, 7])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_padding_is_no_class_whatever_it_is_filled_with(filling, is_mixed):
    """The loss of a padded batch equals that with the padding relabelled, also beside a target of masks."""
    prediction = MaskQueries(noise(2, 8, 301, seed=0), noise(2, 8, 6, 8, seed=1))
    labels = torch.arange(2)[:, None, None] * 3 + torch.randint(0, 3, (2, *SIZE), generator=seeded(2)) + 5
    mask = torch.ones(2, *SIZE, dtype=torch.bool)
    mask[0, 15:], mask[1, :, 20:] = False, False
    filled, ignored = ([{"segmentation": one} for one in labels.masked_fill(~mask, label)] for label in (filling, -1))
    if is_mixed:
        filled[0] = ignored[0] = {"labels": torch.tensor([255]), "masks": blobs(1, seed=0) & mask[0]}
    criterion = MaskSetCriterion(num_classes=300, ignore_label=-1)
    torch.testing.assert_close(
        criterion(prediction, filled, Canvas(SIZE, mask)), criterion(prediction, ignored, Canvas(SIZE, mask))
    )
    present = read_mask_targets(
        filled, Canvas(SIZE, mask), num_classes=300, ignore_label=-1, device=torch.device("cpu")
    ).present
    assert present.sum().item() == (4 if is_mixed else 6)


def test_refuses_another_number_of_targets():
    tester = TestMaskSet()
    with pytest.raises(ContractError, match="1 targets for 2 images"):
        tester.run(tester.prediction(2), tester.targets(1))
