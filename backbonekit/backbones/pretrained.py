"""Pretrained weights: finding them, and adapting the stem and the pixel statistics to other numbers of channels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
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


def adapt_stem(weight: Tensor, channels: int) -> tuple[Tensor, str] | None:
    """A convolution's kernel [out, in, height, width] for `channels` input channels and how it was made, or None.

    A single channel is the sum over the pretrained ones. More channels repeat them in turn, fewer are the first ones;
    both scaled so that the response to equal channels stays the same.
    Source of the rule: timm's `adapt_input_conv` (timm/models/_manipulate.py), which has it for three channels.
    """
    stored = weight.shape[1] if weight.ndim == 4 else channels
    if channels == stored:
        return None
    kernel = weight.float()
    if channels == 1:
        return kernel.sum(dim=1, keepdim=True).to(weight.dtype), f"summed over {stored} input channels for 1"
    how = "repeated and scaled from" if channels > stored else "the first ones, scaled, of"
    scaled = kernel[:, torch.arange(channels) % stored] * (stored / channels)
    return scaled.to(weight.dtype), f"{how} {stored} input channels for {channels}"


def with_channels(processing: Processing, channels: int) -> Processing:
    """The same processing for images of `channels` channels, each with the average of the statistics: those of colours
    are none of other bands."""
    if channels == len(processing.mean):
        return processing
    return replace(processing, mean=_average(processing.mean, channels), std=_average(processing.std, channels))


def _average(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return (sum(values) / len(values),) * channels
