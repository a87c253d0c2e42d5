"""Random draws that are known beforehand, so that two programs, or one program twice, see the same points."""

from typing import Any

import pytest
import torch


def fix_draws(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype = torch.float32) -> None:
    """`torch.rand` of [..., points, 2] gives the same points in every row, whatever was drawn before."""
    draw = torch.rand

    def fixed(*shape: Any, **named: Any) -> torch.Tensor:
        if len(shape) < 2 or shape[-1] != 2:
            return draw(*shape, **named)
        points = draw(*shape[-2:], generator=torch.Generator().manual_seed(shape[-2]), dtype=dtype)
        return points.to(named.get("dtype") or dtype).to(named.get("device")).expand(shape).clone()

    monkeypatch.setattr(torch, "rand", fixed)
