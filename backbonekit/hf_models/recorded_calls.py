"""What modules inside a model were given and returned, kept while it runs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import nn


class Call(NamedTuple):
    """`given`: the first positional argument. `returned`: what the module returned."""

    given: Any
    returned: Any


Calls = dict[nn.Module, list[Call]]  # in the order of the calls


@contextmanager
def recorded_calls(modules: Iterable[nn.Module]) -> Iterator[Calls]:
    """Inside the context, the calls of each of `modules`.

    A model may run in several threads at once: only calls of the thread that entered the context count. A module that
    was compiled records nothing.
    """
    calls: Calls = {}
    thread = get_ident()

    def keep(module: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        if not torch.compiler.is_compiling() and get_ident() == thread:
            calls.setdefault(module, []).append(Call(given[0], returned))

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
