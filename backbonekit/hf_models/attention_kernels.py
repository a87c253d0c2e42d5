"""How attention is computed while a model runs: `attn_implementation`."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel


def attention_by(implementation: str | None) -> AbstractContextManager[Any]:
    """`eager`: step by step, without a fused kernel, inside the context. Otherwise as torch decides."""
    return sdpa_kernel(SDPBackend.MATH) if implementation == "eager" else nullcontext()
