"""Gradient checkpointing: less memory in training, for one more forward pass through each block."""

from torch import nn

from backbonekit.errors import ContractError
from backbonekit.training.roles import Checkpoints, TimmCheckpoints, backbone_of


def gradient_checkpointing(model: nn.Module, enabled: bool = True) -> None:
    """Recomputes the backbone's blocks in backward instead of keeping what is inside them. Takes a model or a backbone.

    Works in training alone; losses and gradients stay the same. Raises ContractError where the backbone has none.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """
    backbone = backbone_of(model)
    if isinstance(backbone, Checkpoints):
        backbone.set_gradient_checkpointing(enabled)
        return
    try:
        if not isinstance(backbone, TimmCheckpoints):
            raise AssertionError
        backbone.set_grad_checkpointing(enabled)
    except AssertionError as error:  # timm's way to refuse
        raise ContractError(f"{type(backbone).__name__} has no gradient checkpointing.") from error
