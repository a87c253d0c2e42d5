"""The count that a set loss is divided by."""

import torch
import torch.distributed as distributed
from torch import Tensor


@torch.compiler.disable
def mean_over_processes(count: int, device: torch.device) -> Tensor:
    """How many targets a process has on average, at least 1, as a scalar tensor.

    Gradients are averaged over processes, so dividing by the mean makes the loss what one process with the whole batch
    would have. Every process has to call this, also one without targets, or the others wait for ever.
    """
    total = torch.tensor(float(count), device=device)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return total.clamp(min=1)
