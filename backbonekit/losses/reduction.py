"""Losses on several devices: the divisor of a sum over targets, and the loss of a batch without targets."""

import torch
import torch.distributed as distributed
import torch.utils._pytree as pytree
from torch import Tensor

from backbonekit.contract.predictions import Prediction


def all_reduce_mean(count: Tensor) -> Tensor:
    """The mean over processes of a number of targets, at least 1, as a scalar. `count`: int64 [], of this process.

    Gradients are averaged over processes, so dividing by the mean makes the loss that of one process with the whole
    batch. Every process must call this, also one without targets, or the others wait forever.
    """
    total = count.to(torch.float32)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return total.clamp(min=1)


def zero_loss(prediction: Prediction | Tensor) -> Tensor:
    """Scalar 0 that is connected to every tensor of a prediction, so that all of them get a gradient of zero.

    DistributedDataParallel waits for the gradient of every parameter, also when a batch has no target for a task. The
    sum of an empty slice stays 0 for infinities and NaN; a multiplication by zero would not.
    """
    tensors = [leaf for leaf in pytree.tree_leaves(prediction) if isinstance(leaf, Tensor)]
    zeros = [tensor.flatten()[:0].float().sum() for tensor in tensors]
    return sum(zeros[1:], zeros[0])
