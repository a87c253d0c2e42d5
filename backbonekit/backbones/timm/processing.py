"""How images were prepared for timm's weights, from its `pretrained_cfg`."""

from math import floor
from typing import get_args

from timm.models import PretrainedCfg

from backbonekit.contract.processing import Interpolation, Processing


def processing_of(pretrained: PretrainedCfg, size: tuple[int, int]) -> Processing:
    """`size`: (height, width) that the model takes.

    Source: timm/data/transforms_factory.py, transforms_imagenet_eval: resize to size / `crop_pct`, cut the centre.
    """
    height, width = size
    fraction = pretrained.crop_pct
    interpolation = pretrained.interpolation if pretrained.interpolation in get_args(Interpolation) else "bilinear"
    scaled = (floor(height / fraction), floor(width / fraction))
    common = {"interpolation": interpolation, "mean": tuple(pretrained.mean), "std": tuple(pretrained.std)}
    if pretrained.crop_mode == "squash" or height != width:
        return Processing(size=scaled, crop=None if scaled == size else size, **common)
    return Processing(shortest_edge=scaled[0], crop=size, **common)
