"""A pretrained stem for images of another number of channels."""

from timm.models import adapt_input_conv
from torch import Tensor


def adapt_stem(weight: Tensor, channels: int, *, pretrained_channels: int) -> tuple[Tensor, str] | None:
    """A convolution's kernel [out, in, height, width] for `channels` input channels and how it was made, or None.

    One channel gets the sum over the pretrained ones, more get them in turn, scaled so that the response keeps its
    size. Source: timm's `adapt_input_conv` (timm/models/_manipulate.py).
    """
    if weight.ndim != 4 or channels == pretrained_channels:
        return None
    try:
        adapted = adapt_input_conv(channels, weight, base_chans=pretrained_channels)
    except (NotImplementedError, AssertionError):  # a stem that first folds pixels into channels
        return None
    how = "summed over" if channels == 1 else "repeated and scaled from"
    return adapted, f"{how} {pretrained_channels} input channels for {channels}"
