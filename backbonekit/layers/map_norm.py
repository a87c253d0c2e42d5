"""Normalisation of feature maps by the name that recipes use."""

from math import gcd

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from backbonekit.contract.options import Norm

GROUPS = 32  # Wu and He, "Group Normalization", 2018


def map_norm(kind: Norm, channels: int) -> nn.Module:
    """A norm for maps of [batch, channels, height, width].

    `batch`: over the batch and all positions. `group`: over 32 groups of channels, fewer where 32 does not divide them.
    `layer`: over the channels of each position, as in ConvNeXt and ViTDet. `none`: passes the map on.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return GroupNorm(gcd(GROUPS, channels), channels)
    if kind == "layer":
        return LayerNorm2d(channels, eps=1e-6)
    return nn.Identity()


class GroupNorm(nn.GroupNorm):
    """Group norm that also accepts a group of one value, as on the coarsest map of a tiny image; it returns the bias
    there. torch's own raises an error."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
