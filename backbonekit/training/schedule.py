"""The learning rate over the steps of a training: a warm-up, then constant, half a cosine, steps or a polynomial."""

import math
from bisect import bisect_right

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from backbonekit.recipe.experiment_settings import Optimisation

_STEP_FACTOR = 0.1
_POWER = 0.9  # DeepLab's


def make_schedule(optimiser: Optimizer, settings: Optimisation, *, total_steps: int, steps_per_epoch: int) -> LambdaLR:
    """Multiplies the learning rate of every group by `rate_factor`; to be stepped after each step of the optimiser."""
    return LambdaLR(
        optimiser, lambda step: rate_factor(step, settings, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    )


def rate_factor(step: int, settings: Optimisation, *, total_steps: int, steps_per_epoch: int) -> float:
    """The factor of the learning rate in step `step`, counted from 0.

    The warm-up is a line from `warmup_factor` to 1. Cosine and poly fall over the steps after it, from 1 to
    `final_factor`; the milestones of step are epochs of the whole training.

    Source: Loshchilov and Hutter, "SGDR", 2017 (cosine); Chen et al., "DeepLab", 2017 (poly).
    """
    if step < settings.warmup_steps:
        share = step / settings.warmup_steps
        warm = settings.warmup_factor + (1 - settings.warmup_factor) * share
    else:
        warm = 1.0
    if settings.schedule == "step":
        factor = _STEP_FACTOR if settings.step_factor is None else settings.step_factor
        return warm * factor ** bisect_right([epoch * steps_per_epoch for epoch in settings.milestones], step)
    if settings.schedule == "constant":
        return warm
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    progress = min(max(progress, 0.0), 1.0)
    final = settings.final_factor or 0.0
    if settings.schedule == "cosine":
        left = (1 + math.cos(math.pi * progress)) / 2
    else:
        left = (1 - progress) ** (_POWER if settings.power is None else settings.power)
    return warm * (final + (1 - final) * left)
