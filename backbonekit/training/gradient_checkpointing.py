"""Gradient checkpointing: less memory in training, for one more forward pass through each block."""

from torch import nn

from backbonekit.contract.roles import backbone_of


def gradient_checkpointing(model: nn.Module, enabled: bool = True) -> None:
    """Recomputes the backbone's blocks in the backward pass instead of keeping what is inside them. Takes a model or a
    backbone.

    Works in training alone; losses and gradients stay the same. Raises ContractError where the backbone cannot.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """
    backbone_of(model).set_gradient_checkpointing(enabled)
