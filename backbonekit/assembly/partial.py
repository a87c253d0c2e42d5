"""Keeps the weights that still fit after a swap; the rest starts at random."""

import torch
from torch import nn

from backbonekit.storage.checkpoint import Checkpoint


def fill_matching(module: nn.Module, checkpoint: Checkpoint) -> tuple[int, list[str]]:
    """Copies every tensor of the same name and shape into a constructed module.

    Returns how many parameters (numbers) were loaded and the names of those tensors that were not.
    """
    available = set(checkpoint.keys())
    loaded, fresh = 0, []
    parameters = {name for name, _ in module.named_parameters()}
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if name in available and tuple(checkpoint.shape(name)) == tuple(tensor.shape):
                tensor.copy_(checkpoint.tensor(name))
                loaded += tensor.numel() if name in parameters else 0
            else:
                fresh.append(name)
    return loaded, fresh
