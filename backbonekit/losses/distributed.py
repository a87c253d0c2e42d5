"""The count that a set loss is divided by."""

import torch
import torch.distributed as distributed
from torch import Tensor


def mean_over_processes(count: Tensor) -> Tensor:
    """How many targets a process has on average, at least 1, as a scalar. `count`: int64 [], of this process.

    Gradients are averaged over processes, so dividing by the mean makes the loss what one process with the whole batch
    would have. Every process has to call this, also one without targets, or the others wait for ever.
    """
    total = count.to(torch.float32)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return total.clamp(min=1)
