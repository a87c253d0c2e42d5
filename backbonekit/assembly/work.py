"""The counter of a forward pass's work: convolutions, matrix products and attention; a multiply-add counts two."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def work_counter() -> FlopCounterMode:
    """Counts the same on every device: torch's own counter has no entry for the CPU's fused attention."""
    return FlopCounterMode(display=False, custom_mapping={_ON_CPU: _attention})


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)
