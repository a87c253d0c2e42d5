"""FSDP2: a model whose weights are shared out among processes, block by block."""

from typing import Any

import torch
from torch import nn

_LEAST = 100_000  # numbers; gathering a smaller block takes longer than it saves memory


def shard_model(model: nn.Module, mesh: Any, *, dtype: torch.dtype | None = None, least: int = _LEAST) -> None:
    """Shares out every repeated block of the model that has at least `least` numbers, and the rest, over the mesh. In
    place; names in the state dict do not change.

    `dtype`: that the computations are in, with gradients added up in float32; None: that of the weights.

    Source: https://pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy() if dtype is None else MixedPrecisionPolicy(dtype, torch.float32, torch.float32)
    for block in repeated_blocks(model, least):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    # The outermost weights too are given back after a forward pass: without a backward pass, as in a moving average,
    # nothing else would, and the next pass would be with the old ones.
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)


def repeated_blocks(model: nn.Module, least: int) -> list[nn.Module]:
    """The blocks that stand in a list or a sequence with another one of their class: the innermost ones of modules that
    have modules of their own, so that the blocks of a stage come before the stage."""
    found: list[nn.Module] = []
    for child in model.children():
        inner = repeated_blocks(child, least)
        found += inner
        if not isinstance(child, nn.ModuleList | nn.Sequential):
            continue
        kinds = [type(block) for block in child.children()]
        inside = {id(module) for block in inner for module in block.modules()}
        found += [
            block
            for block in child.children()
            if kinds.count(type(block)) > 1
            and not isinstance(block, nn.ModuleList | nn.Sequential)
            and list(block.children())
            and sum(parameter.numel() for parameter in block.parameters()) >= least
            and not any(id(module) in inside for module in block.modules())
        ]
    return found
