"""The weights of attention, caught while a model runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# However a block spells it: what comes out of the softmax inside an attention module are its weights.
_SOFTMAX = (torch.softmax, Tensor.softmax, functional.softmax)


Take = Callable[[Tensor], Tensor | None]


@contextmanager
def caught_weights(modules: Sequence[nn.Module], *, take: Take | None = None) -> Iterator[list[Tensor]]:
    """Inside the context, what each of `modules` weighs its values with, in the order in which they run.

    `take`: what is kept of each, and None for nothing; without it all of every one is kept.

    A fused kernel never writes its weights down, so attention of these modules is computed step by step here, which
    takes the memory and time of [batch, heads, queries, keys] numbers each. Other attention, and attention outside the
    context, is left as it is. Gradients flow through the weights.
    """
    catcher = _Catcher(take)
    handles = []
    for module in modules:
        handles.append(module.register_forward_pre_hook(catcher.enter))
        handles.append(module.register_forward_hook(catcher.leave))
    try:
        with catcher:
            yield catcher.weights
    finally:
        for handle in handles:
            handle.remove()


class _Catcher(TorchFunctionMode):
    """Intercepts every function of torch, and records those called inside a module that was registered."""

    def __init__(self, take: Take | None) -> None:
        super().__init__()
        self.take = take
        self.weights: list[Tensor] = []
        self.is_inside = False
        self.thread = get_ident()  # hooks run in every thread that uses the model

    def enter(self, module: nn.Module, inputs: Any) -> None:
        self.is_inside = self.is_inside or get_ident() == self.thread

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.is_inside = self.is_inside and get_ident() != self.thread

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if not self.is_inside:
            return func(*args, **named)
        if func is functional.scaled_dot_product_attention:
            return self._step_by_step(*args, **named)
        result = func(*args, **named)
        if func in _SOFTMAX:
            self._keep(result)
        return result

    def _keep(self, weights: Tensor) -> None:
        kept = weights if self.take is None else self.take(weights)
        if kept is not None:
            self.weights.append(kept)

    def _step_by_step(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        """What the fused function computes, its weights written down before dropout."""
        assert not is_causal, "attention to images looks both ways"
        factor = queries.shape[-1] ** -0.5 if scale is None else scale
        scores = (queries * factor) @ keys.transpose(-2, -1)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(dim=-1)
        self._keep(weights)
        return functional.dropout(weights, dropout_p) @ values
