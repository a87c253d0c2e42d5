"""A zero that belongs to the graph."""

import torch

from backbonekit.contract.predictions import DenseLogits
from backbonekit.losses.zero import zero_of


def test_every_tensor_gets_a_gradient_of_zeros_whatever_it_holds():
    logits = torch.full((2, 3, 4, 4), float("nan"), requires_grad=True)
    auxiliary = torch.full((2, 3, 2, 2), float("inf"), requires_grad=True)
    loss = zero_of(DenseLogits(logits, (auxiliary,)))
    assert loss.item() == 0
    loss.backward()
    for tensor in (logits, auxiliary):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_is_single_precision_also_of_half():
    assert zero_of(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
