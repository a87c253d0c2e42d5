"""Pretrained weights: finding them, and adapting the stem and the pixel statistics to other numbers of channels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import user_path


def locate(pretrained: bool | str, revision: str | None, own: str | None) -> Repository | Path:
    """The repository or the file with the pretrained weights.

    `own`: the backbone's name, used for `pretrained: true`. `revision`: of a Hub repository.

    Raises RecipeError where there is no name, StorageError where nothing is found.
    """
    if pretrained is True:
        if own is None:
            raise RecipeError("pretrained: true needs backbone.name: a Hub id or a folder with the weights.")
        return open_repository(own, revision=revision)
    if not isinstance(pretrained, str) or not pretrained:
        raise RecipeError(f"pretrained must be true, a folder, a file or a Hub id, got {pretrained!r}.")
    path = user_path(pretrained)
    if path.suffix == ".safetensors" or path.is_file():
        return path
    return open_repository(pretrained, revision=None if path.is_dir() else revision)


def adapt_stem(weight: Tensor, channels: int, *, pretrained_channels: int) -> tuple[Tensor, str] | None:
    """A convolution's kernel [out, in, height, width] for `channels` input channels and how it was made, or None.

    A single channel is the sum over the pretrained ones; more channels repeat them in turn, scaled so that the response
    keeps its size. Source: timm's `adapt_input_conv` (timm/models/_manipulate.py).
    """
    if weight.ndim != 4 or channels == pretrained_channels:
        return None
    try:
        adapted = adapt_input_conv(channels, weight, base_chans=pretrained_channels)
    except (NotImplementedError, AssertionError):  # a stem that first folds pixels into channels
        return None
    how = "summed over" if channels == 1 else "repeated and scaled from"
    return adapted, f"{how} {pretrained_channels} input channels for {channels}"


def with_channels(processing: Processing, channels: int) -> Processing:
    """The same processing for images of `channels` channels.

    As for pretrained stems: a single channel has the mean of the values, more channels repeat them in turn.
    """
    if channels == len(processing.mean):
        return processing
    return replace(processing, mean=_spread(processing.mean, channels), std=_spread(processing.std, channels))


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
