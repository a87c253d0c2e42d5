"""The zero loss: connected to every tensor of the prediction."""

import torch

from backbonekit.contract.predictions import DenseLogits
from backbonekit.losses.reduction import zero_loss


def test_every_tensor_gets_a_gradient_of_zeros_also_with_nan():
    logits = torch.full((2, 3, 4, 4), float("nan"), requires_grad=True)
    auxiliary = torch.full((2, 3, 2, 2), float("inf"), requires_grad=True)
    loss = zero_loss(DenseLogits(logits, (auxiliary,)))
    assert loss.item() == 0
    loss.backward()
    for tensor in (logits, auxiliary):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_is_float32_for_half_precision():
    assert zero_loss(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
