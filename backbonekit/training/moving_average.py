"""An exponential moving average of a model's weights: a second model that follows the first one."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

from backbonekit.training.freeze import keep_in_eval

_Model = TypeVar("_Model", bound=nn.Module)


def averaged_copy(model: _Model) -> _Model:
    """A copy of the model that takes no gradient and stays in eval mode: the average before the first step."""
    average = copy.deepcopy(model)
    average.requires_grad_(False)
    keep_in_eval(average)
    return average


def decay_at(step: int, decay: float, warmup_steps: int | None) -> float:
    """The decay of the `step`-th update, counted from 1: with a warm-up it rises from 0 to `decay`.

    Source: RT-DETR/rtdetr_pytorch/src/optim/ema.py: ModelEMA.
    """
    return decay * (1 - math.exp(-step / warmup_steps)) if warmup_steps else decay


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the average towards the model, in place: `decay * average + (1 - decay) * model` for weights and for
    buffers of real numbers, such as the statistics of norms; whole numbers are copied."""
    pairs = [
        *zip(average.parameters(), model.parameters(), strict=True),
        *zip(average.buffers(), model.buffers(), strict=True),
    ]
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.mul_(decay).add_(value.detach().to(mean.dtype), alpha=1 - decay)
        else:
            mean.copy_(value)
