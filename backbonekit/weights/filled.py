"""A module straight out of a checkpoint: constructed without memory for what the checkpoint brings, then filled."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import nn

from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import Adapt, FillReport, fill

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def construct_filled(
    construct: Callable[[], ModuleT],
    checkpoint: Checkpoint,
    *,
    seed: int = 0,
    adapt: Adapt | None = None,
    may_exceed: Sequence[str] = (),
) -> tuple[ModuleT, FillReport]:
    """What `construct` gives, with the checkpoint's weights, and the report of the filling.

    `seed`: of the vectors that the architecture starts at random and the checkpoint lacks. `adapt`, `may_exceed`: as
    `fill` takes them. Raises WeightsError.
    """
    with without_weights(seed):
        module = construct()
    report = fill(module, checkpoint, adapt=adapt, may_exceed=may_exceed)
    finish(module)
    return module, report
