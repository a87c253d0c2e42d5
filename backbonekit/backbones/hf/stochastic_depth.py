"""Rates of stochastic depth in a backbone that is cut."""

from collections.abc import Sequence


def rate_of_last_built(rate: float, built: Sequence[int], whole: Sequence[int]) -> float:
    """Rates rise linearly from 0 to `rate` over all blocks, so the deepest of those that are built has less.

    `built`, `whole`: blocks of each stage that is built, and of each stage.
    """
    return rate * max(sum(built) - 1, 0) / max(sum(whole) - 1, 1)
