"""Parameters that no wanted map depends on: without gradient, so that distributed training does not wait for one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from backbonekit.backbones.timm.arguments import create_body
from backbonekit.weights.construct import shapes_alone


def idle_parameters(
    architecture: str, in_channels: int, arguments: Mapping[str, Any], indices: Sequence[int], size: tuple[int, int]
) -> frozenset[str]:
    """Names of parameters without a gradient, found by one backward pass on the meta device."""
    with shapes_alone():
        body = create_body(architecture, in_channels, arguments)
    cut(body, indices)
    with torch.device("meta"), torch.enable_grad():
        pixel_values = torch.empty(2, in_channels, *size)
        maps = body.forward_intermediates(  # type: ignore[operator]
            pixel_values, indices=list(indices), stop_early=True, intermediates_only=True
        )
        torch.stack([feature_map.sum() for feature_map in maps]).sum().backward()
    return frozenset(name for name, parameter in body.named_parameters() if parameter.grad is None)


def cut(body: nn.Module, indices: Sequence[int]) -> None:
    """Removes what stands behind the last wanted map."""
    body.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True)  # type: ignore[operator]
