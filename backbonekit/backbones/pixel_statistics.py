"""Mean and standard deviation of pixels for another number of channels than the three they were measured on."""

from collections.abc import Sequence
from dataclasses import replace

from backbonekit.contract.processing import Processing


def with_channels(processing: Processing, channels: int) -> Processing:
    """The same processing for images of `channels` channels.

    As pretrained stems are adapted: one channel stands for all of them together, more repeat them in turn.
    """
    if channels == len(processing.mean):
        return processing
    return replace(processing, mean=_spread(processing.mean, channels), std=_spread(processing.std, channels))


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
