"""Weights for tests: random ones that leave no path idle, and fixed ones that are the same on every machine."""

import torch
from torch import nn


def randomise_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and running statistic drawn anew, so that no zero, one or identity hides a mistake."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * (high - low) + low)

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                width = max(parameter[0].numel(), 1)  # 1: of a tensor without values
                uniform(parameter, -1.7 / width**0.5, 1.7 / width**0.5)  # 1.7: variance 1 / fan in
            elif name.endswith("weight"):
                uniform(parameter, 0.75, 1.25)
            else:
                uniform(parameter, -0.35, 0.35)  # a standard deviation of 0.2
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                uniform(buffer, -0.3, 0.3)
            elif name.endswith("running_var"):
                uniform(buffer, 0.5, 1.5)
    return module


def fixed_weights(module: nn.Module) -> nn.Module:
    """Weights by formula, no generator: the ground of golden values."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + len(name))
            if tensor.ndim > 1:
                values = wave / tensor[0].numel() ** 0.5
            elif name.endswith(("weight", "running_var")):
                values = 1 + 0.2 * wave
            else:
                values = 0.2 * wave
            tensor.copy_(values.reshape(tensor.shape))
    return module


def fixed_noise(*shape: int) -> torch.Tensor:
    """An image-like tensor by formula, in [-1, 1]."""
    count = int(torch.Size(shape).numel())
    return torch.sin(torch.arange(count, dtype=torch.float64) * 0.37).float().reshape(shape)
