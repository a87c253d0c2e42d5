"""The terms of mask losses: against the formulas, in pieces, for every pair, and their gradients."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.losses import mask_terms as terms_module
from backbonekit.losses.mask_matching import pairwise_mask_costs
from backbonekit.losses.mask_terms import mask_terms
from tests.losses.criterion_tester import SIZE
from tests.losses.random_inputs import blobs, noise


@pytest.mark.parametrize("padding", [False, True])
def test_pairwise_costs_are_the_terms_of_every_pair(padding):
    logits, masks = 3 * noise(2, 5, 12, 9, seed=0).double(), noise(2, 4, 12, 9, seed=1) > 0.3
    valid = noise(2, 12, 9, seed=2) > -0.5 if padding else None
    focal, dice = pairwise_mask_costs(logits.flatten(2), masks.flatten(2), None if valid is None else valid.flatten(1))
    for image in range(2):
        for query in range(5):
            for target in range(4):
                here = None if valid is None else valid[image, None]
                one, other = mask_terms(logits[image, query, None], masks[image, target, None], here)
                torch.testing.assert_close(focal[image, query, target], one[0])
                torch.testing.assert_close(dice[image, query, target], other[0])


@pytest.mark.parametrize("padding", [False, True])
def test_in_pieces_the_terms_and_gradients_are_the_same(padding, monkeypatch):
    masks = blobs(7, seed=1)
    valid = noise(7, *SIZE, seed=2) > -0.5 if padding else None
    results = []
    for at_once in (1, 2 * SIZE[0] * SIZE[1], 2**30):
        monkeypatch.setitem(terms_module.PIXELS_AT_ONCE, "cpu", at_once)
        logits = noise(7, 6, 8, seed=0).double().requires_grad_()
        focal, dice = mask_terms(logits, masks, valid)
        (focal * torch.arange(7)).sum().add((dice * torch.arange(7, 0, -1)).sum()).backward()
        results.append((focal, dice, logits.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", [False, True])
def test_the_gradient_is_that_of_the_terms(padding):
    """Against differences of the terms themselves, also where logits are far out."""
    masks = blobs(3, seed=1)[:, :10, :9]
    valid = noise(3, 10, 9, seed=2) > -0.5 if padding else None
    logits = (3 * noise(3, 4, 5, seed=0).double()).index_fill_(1, torch.tensor([0]), 50.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: mask_terms(given, masks, valid), (logits,))


def test_terms_are_the_papers():
    """Focal loss with gamma 2 and alpha 0.25, dice loss with one added above and below."""
    logits, masks = 4 * noise(3, 10, 11, seed=4).double(), noise(3, 10, 11, seed=5) > 0
    focal, dice = mask_terms(logits, masks, None)
    probability, target = logits.sigmoid(), masks.double()
    right = torch.where(masks, probability, 1 - probability)
    alpha = torch.where(masks, 0.25, 0.75)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(focal, (alpha * (1 - right) ** 2 * entropy).mean((1, 2)))
    overlap = (probability * target).sum((1, 2))
    torch.testing.assert_close(dice, 1 - (2 * overlap + 1) / (probability.sum((1, 2)) + target.sum((1, 2)) + 1))
