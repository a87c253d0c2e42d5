"""The options of DenseCrossEntropy, each against another formula: of torch, of torchvision, or written out in NumPy."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torchvision.ops import sigmoid_focal_loss

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import DenseLogits
from backbonekit.errors import ContractError, RecipeError
from backbonekit.losses.dense_cross_entropy import DenseCrossEntropy
from backbonekit.losses.hard_pixels import hard_pixels
from tests.losses.test_dense_cross_entropy import TestDenseCrossEntropy as DenseTester, noise

SIZE = (9, 11)
IGNORED = 255


def case(num_classes, seed=0):
    """(logits, labels) of two images with ignored pixels, and a class without pixels where there are three or more."""
    logits = 2 * noise(2, num_classes, *SIZE, seed=seed)
    labels = torch.randint(0, max(2, num_classes - (num_classes > 2)), (2, *SIZE), generator=seeded(seed + 1))
    labels[0, :2] = IGNORED
    return logits, labels


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def terms_of(logits, labels, **options):
    criterion = DenseCrossEntropy(num_classes=logits.shape[1], ignore_label=IGNORED, **options)
    return criterion(DenseLogits(logits), [{"segmentation": one} for one in labels], Canvas(SIZE))


def probabilities(logits):
    """NumPy [images, labels, height, width], of the two labels 0 and 1 where there is one class."""
    if logits.shape[1] > 1:
        return logits.double().softmax(dim=1).numpy()
    positive = 1 / (1 + np.exp(-logits.double().numpy()))
    return np.concatenate([1 - positive, positive], axis=1)


def counted(logits, labels):
    """(probabilities [pixels, labels], labels [pixels]) of the pixels that count."""
    shares = np.moveaxis(probabilities(logits), 1, -1).reshape(-1, max(2, logits.shape[1]))
    flat = labels.numpy().ravel()
    return shares[flat != IGNORED], flat[flat != IGNORED]


class TestOfOneClass(DenseTester):
    """Every test of the criterion, with one class and all terms."""

    options = {"num_classes": 1, "dice_weight": 0.5, "tversky_weight": 0.5, "lovasz_weight": 0.5}

    def prediction(self, batch):
        return DenseLogits(noise(batch, 1, 24, 32, seed=1), (noise(batch, 1, 6, 8, seed=2),))

    def target(self, index):
        labels = torch.randint(0, 2, (24, 32), generator=seeded(index))
        labels[: index + 1] = IGNORED
        return {"segmentation": labels}

    def test_padding_and_ignored_pixels_count_in_nothing(self):
        prediction, targets = self.prediction(1), self.targets(1)
        changed = prediction.logits.clone()
        changed[0, :, 0] = 30.0  # the ignored row of `target`
        torch.testing.assert_close(
            self.run(DenseLogits(changed), targets), self.run(DenseLogits(prediction.logits), targets)
        )


class TestWithEveryTerm(DenseTester):
    options = {
        "num_classes": 4,
        "class_weights": (1.0, 2.0, 0.5, 3.0),
        "label_smoothing": 0.1,
        "focal_gamma": 1.5,
        "hard_threshold": 0.7,
        "num_hard_pixels": 50,
        "dice_weight": 0.5,
        "tversky_weight": 0.5,
        "lovasz_weight": 0.5,
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_weights_equal_torchs(smoothing):
    logits, labels = case(4)
    weights = (0.5, 2.0, 0.0, 1.0)
    expected = functional.cross_entropy(
        logits, labels, weight=torch.tensor(weights), ignore_index=IGNORED, label_smoothing=smoothing
    )
    for gamma in (0.0, 1e-9):  # summed by torch, and pixel by pixel
        terms = terms_of(logits, labels, class_weights=weights, label_smoothing=smoothing, focal_gamma=gamma)
        torch.testing.assert_close(terms["cross_entropy"], expected)


@pytest.mark.parametrize("weight", [None, 3.0])
def test_one_class_is_the_binary_cross_entropy(weight):
    logits, labels = case(1)
    counts = labels != IGNORED
    each = torch.where(labels == 1, weight or 1.0, 1.0)[counts]
    losses = functional.binary_cross_entropy_with_logits(
        logits[:, 0][counts], labels[counts].float(), weight=each, reduction="sum"
    )
    terms = terms_of(logits, labels, class_weights=None if weight is None else (weight,))
    torch.testing.assert_close(terms["cross_entropy"], losses / each.sum())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_one_class_equals_torchvisions(gamma):
    logits, labels = case(1)
    counts = labels != IGNORED
    expected = sigmoid_focal_loss(logits[:, 0][counts], labels[counts].float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(terms_of(logits, labels, focal_gamma=gamma)["cross_entropy"], expected)


def test_focal_of_several_classes_by_hand():
    logits, labels = case(4)
    shares, flat = counted(logits, labels)
    right = shares[np.arange(len(flat)), flat]
    expected = np.mean((1 - right) ** 2 * -np.log(right))
    terms = terms_of(logits, labels, focal_gamma=2.0)
    torch.testing.assert_close(terms["cross_entropy"].double(), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [1, 4])
@pytest.mark.parametrize(("threshold", "least"), [(0.7, 0), (0.05, 40), (0.3, 10_000), (0.0, 7)])
def test_hard_pixels_by_hand(num_classes, threshold, least):
    logits, labels = case(num_classes)
    shares, flat = counted(logits, labels)
    right = np.sort(shares[np.arange(len(flat)), flat])
    kept = right[: max(int((right < threshold).sum()), min(least, len(right)))]
    terms = terms_of(logits, labels, hard_threshold=threshold, num_hard_pixels=least)
    expected = torch.tensor(np.mean(-np.log(kept)))
    torch.testing.assert_close(terms["cross_entropy"].double(), expected, rtol=1e-5, atol=1e-6)


def test_without_a_hard_pixel_the_loss_is_zero():
    logits, labels = case(4)
    term = terms_of(logits.requires_grad_(), labels, hard_threshold=0.0, num_hard_pixels=0)["cross_entropy"]
    term.backward()
    assert term == 0
    assert not logits.grad.any()


def test_pixels_that_do_not_count_are_never_hard():
    shares = torch.tensor([0.1, 0.2, 0.9, 0.01])
    counts = torch.tensor([True, True, True, False])
    assert hard_pixels(shares, counts, threshold=0.15, least=2).tolist() == [True, True, False, False]
    assert hard_pixels(shares, counts, threshold=0.15, least=9).tolist() == [True, True, True, False]


@pytest.mark.parametrize("num_classes", [1, 4])
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (1.0, 0.0)])
def test_tversky_by_hand(num_classes, alpha, beta):
    logits, labels = case(num_classes)
    shares, flat = counted(logits, labels)
    losses = []
    for number in range(1 if num_classes == 1 else 0, max(2, num_classes)):
        is_class, share = flat == number, shares[:, number]
        if is_class.any():
            overlap, beyond, missed = share[is_class].sum(), share[~is_class].sum(), (1 - share[is_class]).sum()
            losses.append(1 - overlap / (overlap + alpha * beyond + beta * missed))
    terms = terms_of(logits, labels, tversky_weight=2.0, tversky_alpha=alpha, tversky_beta=beta)
    expected = torch.tensor(2.0 * np.mean(losses))
    torch.testing.assert_close(terms["tversky"].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [1, 2, 4])
def test_tversky_of_equal_weights_is_dice(num_classes):
    logits, labels = case(num_classes)
    terms = terms_of(logits, labels, tversky_weight=1.0, dice_weight=1.0, tversky_alpha=0.5, tversky_beta=0.5)
    torch.testing.assert_close(terms["tversky"], terms["dice"], rtol=1e-5, atol=1e-6)


def jaccard_loss(wrong, is_class):
    """1 - intersection over union of a class of which exactly the pixels `wrong` are predicted wrongly."""
    predicted = is_class ^ wrong
    union = (predicted | is_class).sum()
    return 1 - (predicted & is_class).sum() / union if union else 0.0


def lovasz_by_definition(errors, is_class):
    """The Lovasz extension from its definition: errors, largest first, times what each adds to the Jaccard loss."""
    total, wrong = 0.0, np.zeros(len(errors), dtype=bool)
    for position in np.argsort(-errors, kind="stable"):
        before = jaccard_loss(wrong, is_class)
        wrong[position] = True
        total += errors[position] * (jaccard_loss(wrong, is_class) - before)
    return total


def test_lovasz_softmax_by_its_definition():
    logits, labels = case(4)
    shares, flat = counted(logits, labels)
    losses = [
        lovasz_by_definition(np.abs((flat == number) - shares[:, number]), flat == number) for number in set(flat)
    ]
    terms = terms_of(logits, labels, lovasz_weight=0.5)
    expected = torch.tensor(0.5 * np.mean(losses))
    torch.testing.assert_close(terms["lovasz"].double(), expected, rtol=1e-5, atol=1e-6)


def test_lovasz_hinge_by_its_definition():
    logits, labels = case(1)
    counts = (labels != IGNORED).numpy()
    flat = labels.numpy()[counts]
    errors = np.maximum(1 - logits[:, 0].double().numpy()[counts] * np.where(flat == 1, 1, -1), 0)
    terms = terms_of(logits, labels, lovasz_weight=1.0)
    expected = torch.tensor(lovasz_by_definition(errors, flat == 1))
    torch.testing.assert_close(terms["lovasz"].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_perfect_prediction_has_no_loss_of_regions(num_classes):
    labels = case(num_classes)[1]
    if num_classes == 1:
        logits = (labels == 1)[:, None] * 200.0 - 100.0
    else:
        logits = 200.0 * torch.stack([labels == number for number in range(num_classes)], dim=1)
    terms = terms_of(logits, labels, dice_weight=1.0, tversky_weight=1.0, lovasz_weight=1.0)
    assert all(term < 1e-5 for term in terms.values())


@pytest.mark.parametrize("num_classes", [1, 4])
def test_every_combination_trains_and_ignores_what_it_must(num_classes):
    """Gradients are finite with each term alone and all together, and zero on ignored pixels; all are zero, with a
    graph, in a batch of ignored pixels."""
    choices = [
        {"dice_weight": 1.0},
        {"tversky_weight": 1.0},
        {"lovasz_weight": 1.0},
        {"focal_gamma": 0.3},
        {"hard_threshold": 0.5, "num_hard_pixels": 3},
        {"class_weights": (2.0,) * num_classes},
    ]
    together = dict(itertools.chain.from_iterable(choice.items() for choice in choices))
    for options in (*choices, together, {**together, "cross_entropy_weight": 0.0}):
        logits, labels = case(num_classes)
        logits[1, 0, 5, 5], logits[1, -1, 5, 6] = 200.0, -200.0  # certain, and wrong somewhere
        logits.requires_grad_()
        total = sum(terms_of(logits, labels, **options).values())
        total.backward()
        assert total > 0, options
        assert logits.grad.isfinite().all(), options
        assert logits.grad.any(), options
        assert not logits.grad[0, :, :2].any(), options
        logits.grad = None
        nothing = sum(terms_of(logits, torch.full_like(labels, IGNORED), **options).values())
        nothing.backward()
        assert nothing == 0, options
        assert not logits.grad.any(), options


def test_a_weight_of_the_cross_entropy_leaves_the_auxiliary_one():
    logits, labels = case(4)
    prediction = DenseLogits(logits, (logits,))
    targets = [{"segmentation": one} for one in labels]
    names = {}
    for weight in (0.0, 1.0, 2.0):
        criterion = DenseCrossEntropy(num_classes=4, cross_entropy_weight=weight, dice_weight=1.0)
        names[weight] = criterion(prediction, targets, Canvas(SIZE))
    assert set(names[0.0]) == {"dice", "auxiliary_cross_entropy"}
    torch.testing.assert_close(names[2.0]["cross_entropy"], 2 * names[1.0]["cross_entropy"])
    torch.testing.assert_close(names[2.0]["auxiliary_cross_entropy"], names[0.0]["auxiliary_cross_entropy"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3, "class_weights": (1.0, 2.0)}, "class_weights has 2 numbers, one for each of the 3 classes"),
        (
            {"num_classes": 1, "class_weights": (1.0, 2.0)},
            "2 numbers, one for each of the 1 class is",
        ),
        ({"num_classes": 2, "class_weights": (0.0, 0.0)}, "every one of class_weights is 0"),
        ({"num_classes": 2, "cross_entropy_weight": 0.0}, "are all 0: nothing would be learned"),
    ],
)
def test_a_loss_that_cannot_teach_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        DenseCrossEntropy(**options)


def test_weights_move_with_the_module_and_are_not_saved():
    criterion = DenseCrossEntropy(num_classes=2, class_weights=(1.0, 2.0))
    assert criterion.to("meta").class_weights.device.type == "meta"
    assert not criterion.state_dict()


@pytest.mark.parametrize("num_classes", [1, 2])
def test_a_mask_of_0_and_255_names_its_fix(num_classes):
    mask = [{"segmentation": torch.tensor([[0, 255], [255, 0]])}]
    prediction = DenseLogits(torch.zeros(1, num_classes, 2, 2))
    with pytest.raises(ContractError, match=r"0 and 255 alone.*processing.label_map={255: 1}.*ignore_label=255"):
        DenseCrossEntropy(num_classes=num_classes)(prediction, mask, Canvas((2, 2)))
    terms = DenseCrossEntropy(num_classes=num_classes, ignore_label=255)(prediction, mask, Canvas((2, 2)))
    torch.testing.assert_close(terms["cross_entropy"], torch.tensor(2.0).log())
    padding = torch.tensor([[[True, False], [False, True]]])
    DenseCrossEntropy(num_classes=num_classes)(prediction, mask, Canvas((2, 2), padding))  # 255 is padding alone


def test_a_label_beyond_one_class_says_what_the_labels_are():
    with pytest.raises(ContractError, match=r"label 2; with num_classes=1 the class is 1 and everything else 0"):
        terms_of(torch.zeros(1, 1, *SIZE), torch.full((1, *SIZE), 2))
