"""The optimiser of a model by name, with parameter groups as the settings have them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from backbonekit.recipe.experiment_settings import Optimisation
from backbonekit.training.parameter_groups import parameter_groups

_MOMENTUM = 0.9  # of SGD, as in every paper that trains with it here
_WITH_FUSED = ("cpu", "cuda")
_BETAS: Mapping[str, tuple[float, float]] = {"adamw": (0.9, 0.999), "adam": (0.9, 0.999), "lion": (0.9, 0.99)}


def make_optimiser(model: nn.Module, settings: Optimisation, *, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW, Adam, SGD with momentum, or Lion over the parameters that take a gradient.

    `fused`: updates each weight in one pass over memory where torch has it, on CPUs and CUDA devices; AdamW's step is
    then nearly three times as fast on a CPU.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019 (AdamW); Chen et al., "Symbolic
    Discovery of Optimization Algorithms", 2023 (Lion, timm's; torch has none).
    """
    groups = parameter_groups(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
        backbone_scale=settings.backbone_scale,
        no_decay=settings.no_decay,
    )
    # None: torch chooses.
    in_one_pass = True if fused and all(one.device.type in _WITH_FUSED for one in model.parameters()) else None
    if settings.optimiser == "sgd":
        momentum = _MOMENTUM if settings.momentum is None else settings.momentum
        return torch.optim.SGD(groups, lr=settings.lr, momentum=momentum, fused=in_one_pass)
    betas = _BETAS[settings.optimiser] if settings.betas is None else settings.betas
    if settings.optimiser == "lion":
        from timm.optim import Lion

        return Lion(groups, lr=settings.lr, betas=betas)
    kind: Any = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.lr, betas=betas, fused=in_one_pass)
