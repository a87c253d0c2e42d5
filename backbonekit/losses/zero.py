"""A loss of zero that still belongs to the graph."""

import torch.utils._pytree as pytree
from torch import Tensor

from backbonekit.contract.predictions import Prediction


def zero_of(prediction: Prediction | Tensor) -> Tensor:
    """Scalar 0 that every tensor of the prediction gets a zero gradient from, whatever values they hold.

    A model trained on several devices waits for the gradient of every parameter, also where a batch holds no truth for
    one task. Summing nothing of a tensor, unlike multiplying it by zero, stays 0 for infinities and NaN.
    """
    tensors = [leaf for leaf in pytree.tree_leaves(prediction) if isinstance(leaf, Tensor)]
    zeros = [tensor.flatten()[:0].float().sum() for tensor in tensors]
    return sum(zeros[1:], zeros[0])
