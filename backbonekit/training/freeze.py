"""Freezing: parts of a backbone that training leaves as they are."""

from functools import partial
from typing import Any

from torch import nn

from backbonekit.contract.options import Layers
from backbonekit.contract.roles import backbone_of
from backbonekit.errors import ContractError
from backbonekit.training.frozen_norms import replace_with_frozen


def freeze(model: nn.Module, *, stages: Layers = 0, norms: bool = False) -> None:
    """Freezes the first stages of a backbone, and its norms. Takes a backbone or a whole model. In place.

    `stages`: how many, counted from the input with the stem as the first: 1 is the stem, 2 the stem and the first stage
    (Detectron2's FREEZE_AT); of a plain transformer, 1 is the patch embedding, 2 also the first block. Their weights
    take no gradient, and `train()` leaves them in eval mode.
    `norms`: every norm with running statistics, anywhere in the backbone, keeps them and its scale and shift; norms
    without statistics, such as layer norm, are left alone. For pretrained weights: fresh residual networks start with
    scales of zero.

    What is frozen stays in eval mode through every later `train()` of the model around it, and names in the state dict
    do not change. A second call freezes more, never less. Frozen batch norms are replaced by modules that compute the
    same and keep nothing for the backward pass (`FrozenBatchNorm2d`).

    Raises ContractError where the backbone has fewer stages, or where `model` is no backbone and has none.

    Source: He et al., "Mask R-CNN", 2017 (frozen batch norm, first stages fixed);
    detectron2/modeling/backbone/resnet.py: ResNet.freeze.
    """
    backbone: Any = backbone_of(model)
    order = backbone.parameter_stages()
    if not 0 <= stages <= order.count:
        raise ContractError(
            f"freeze: stages={stages}; this backbone has {order.count} with the stem, so 0 to {order.count} can be"
            " frozen."
        )
    frozen = {name for name, stage in order.positions.items() if stage < stages}
    for name, parameter in backbone.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    _freeze_norms(backbone, frozen, every=norms)
    _keep_in_eval(backbone, "", frozen)


def keep_in_eval(module: nn.Module) -> None:
    """Puts a module into eval mode for good: `train()` on it or on a module around it changes nothing below."""
    # An attribute of the instance: it hides the method, and is copied and pickled with the module.
    module.train = partial(_train_frozen, module)  # type: ignore[method-assign]
    module.train()


def _train_frozen(module: nn.Module, mode: bool = True) -> nn.Module:
    return nn.Module.train(module, False)


def _keep_in_eval(module: nn.Module, prefix: str, frozen: set[str]) -> None:
    """Keeps the largest modules in eval mode whose whole state is frozen."""
    state = _state_names(module, prefix)
    if state and frozen.issuperset(state):
        keep_in_eval(module)
        return
    for name, child in module.named_children():
        _keep_in_eval(child, f"{prefix}.{name}" if prefix else name, frozen)


def _freeze_norms(backbone: nn.Module, frozen: set[str], *, every: bool) -> None:
    """Norms with running statistics: all of them, or those whose whole state is among the `frozen` names."""
    found = {
        norm
        for prefix, norm in backbone.named_modules()
        if _has_statistics(norm) and (every or frozen.issuperset(_state_names(norm, prefix)))
    }
    for norm in replace_with_frozen(backbone, found):
        norm.requires_grad_(False)
        keep_in_eval(norm)


def _has_statistics(module: nn.Module) -> bool:
    return any(name.startswith("running_") for name, _ in module.named_buffers(recurse=False))


def _state_names(module: nn.Module, prefix: str) -> list[str]:
    state = [
        *module.named_parameters(prefix, remove_duplicate=False),
        *module.named_buffers(prefix, remove_duplicate=False),
    ]
    return [name for name, _ in state]
