"""Random draws that are known beforehand, so that two programs, or one program twice, see the same points."""

from types import ModuleType
from typing import Any

import pytest
import torch

from backbonekit.ops import point_sampling


class _FixedDraws:
    """torch as a module sees it, but for `rand` of [..., points, 2], which returns the same points in every row."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def rand(self, *shape: Any, **named: Any) -> torch.Tensor:
        if len(shape) < 2 or shape[-1] != 2:
            return torch.rand(*shape, **named)
        points = torch.rand(*shape[-2:], generator=torch.Generator().manual_seed(shape[-2]), dtype=self.dtype)
        return points.to(named.get("device")).expand(shape).clone()


def fix_draws(monkeypatch: pytest.MonkeyPatch, *others: ModuleType, dtype: torch.dtype = torch.float32) -> None:
    """In our sampler and in `others`, modules that draw with `torch.rand`. torch itself stays as it is."""
    for module in (point_sampling, *others):
        monkeypatch.setattr(module, "torch", _FixedDraws(dtype))
