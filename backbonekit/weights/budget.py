"""How large an architecture may become, counted while it is constructed: options within their own bounds add up."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from backbonekit.errors import RecipeError

MAX_MODULES = 5_000  # the most in timm's 1,370 architectures: 1,841 (`efficientnetv2_xl`)
MAX_NUMBERS = 2**34  # the most there: 6.7e9 (`vit_7b_patch16_dinov3`)
MAX_SECONDS = 1.9  # of the processor's time on the meta device; the slowest of them takes 0.5, and machines differ
_limits: ContextVar[tuple[int, int, float]] = ContextVar("limits", default=(MAX_MODULES, MAX_NUMBERS, MAX_SECONDS))


@contextmanager
def architecture_budget(
    *, modules: int = MAX_MODULES, numbers: int = MAX_NUMBERS, seconds: float = MAX_SECONDS
) -> Iterator[None]:
    """Inside the block architectures may have this many modules, and numbers in parameters and buffers, and take this
    long to lay out, in seconds of the processor's time on the meta device.

    Only the caller can raise it: no recipe, file or command line can. Raises ValueError for a limit below 1 or no time.
    """
    if modules < 1 or numbers < 1 or not seconds > 0:
        raise ValueError(
            f"a budget is at least 1 module, 1 number and some time, given {modules}, {numbers} and {seconds} seconds."
        )
    token = _limits.set((modules, numbers, seconds))
    try:
        yield
    finally:
        _limits.reset(token)


@contextmanager
def counted() -> Iterator["Count"]:
    """Counts what is constructed in this thread, and stops it where it goes over the budget. Raises RecipeError with
    the limit.

    To be used on the meta device, where nothing is allocated before the count says no.
    """
    modules, numbers, _ = _limits.get()
    count = Count(modules, numbers, threading.get_ident())
    hooks = (
        register_module_module_registration_hook(count.add_module),
        register_module_parameter_registration_hook(count.add_tensor),
        register_module_buffer_registration_hook(count.add_tensor),
    )
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def within_memory(num_bytes: int) -> Iterator[None]:
    """Refuses a construction that needs more memory than the machine has free, before it begins.

    `num_bytes`: what it needs, counted on the meta device. Raises RecipeError with both numbers, also where the system
    itself refuses the memory. Only what is constructed on the CPU is compared with its memory.
    """
    available = free_memory() if torch.get_default_device().type == "cpu" else None
    if available is not None and num_bytes > available:
        raise RecipeError(
            f"The model does not fit into memory: it takes {_gigabytes(num_bytes)}, and {_gigabytes(available)} are"
            " free. The fix: fewer layers or channels, or a larger machine."
        )
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        free = "" if available is None else f" ({_gigabytes(available)} are free)"
        raise RecipeError(
            f"The model does not fit into memory: the system refused it{free}. The fix: fewer layers or channels."
        ) from error


def max_seconds() -> float:
    """How long an architecture may take to be laid out."""
    return _limits.get()[2]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def free_memory() -> int | None:
    """Bytes that new tensors on the CPU can take, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # Linux; counts what caches would free
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


class Count:
    """`numbers`, `num_bytes`: of parameters and buffers, each tied one counted as often as it is registered."""

    def __init__(self, max_modules: int, max_numbers: int, thread: int) -> None:
        self.max_modules = max_modules
        self.max_numbers = max_numbers
        self.thread = thread
        self.modules = 0
        self.numbers = 0
        self.num_bytes = 0

    def add_module(self, owner: nn.Module, name: str, module: nn.Module | None) -> None:
        if module is not None and threading.get_ident() == self.thread:
            self.modules += 1
            if self.modules > self.max_modules:
                raise RecipeError(_message("modules", self.max_modules))

    def add_tensor(self, owner: nn.Module, name: str, tensor: Any) -> None:
        if isinstance(tensor, Tensor) and threading.get_ident() == self.thread:
            self.numbers += tensor.numel()
            self.num_bytes += tensor.numel() * tensor.element_size()
            if self.numbers > self.max_numbers:
                raise RecipeError(_message("numbers in parameters and buffers", self.max_numbers))


def _message(what: str, limit: int) -> str:
    return (
        f"The architecture has more than {limit:,} {what}, the limit of what a recipe can build. The fix: fewer layers"
        " or channels; or, from Python, `with backbonekit.architecture_budget(...)` around the build."
    )
