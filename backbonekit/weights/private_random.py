"""Randomness of one's own: seeded operations that leave the global generators alone."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any
from zlib import crc32

import numpy
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random operation inside draws from a generator of this seed; the global ones are as before afterwards.

    `seed`: any whole number. The numbers drawn are those that `torch.manual_seed(seed)` gives, for seeds of 32 bits.
    May be nested; the innermost counts. The generators of `random` and numpy, which no operation can be handed, are
    seeded and set back.
    """
    with apart(PrivateGenerator(in_32_bits(seed))):
        yield


@contextmanager
def apart(mode: "PrivateGenerator") -> Iterator[None]:
    """Inside, the mode's generator for operations, and its seed for `random` and numpy."""
    numbers, arrays = random.getstate(), numpy.random.get_state()
    random.seed(mode.seed)
    numpy.random.seed(mode.seed)
    try:
        with mode:
            yield
    finally:
        random.setstate(numbers)
        numpy.random.set_state(arrays)


class _Stack(threading.local):
    """The private generators in use by one thread, innermost last."""

    def __init__(self) -> None:
        self.modes: list[PrivateGenerator] = []


_stack = _Stack()


class PrivateGenerator(TorchFunctionMode):
    """Hands a generator of its own to every random operation that was not given one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self._handing = _Handing(seed)

    def __enter__(self) -> "PrivateGenerator":
        _stack.modes.append(self)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _stack.modes.remove(self)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        # To look at every operation that a call is made of takes longer than most calls of a construction do.
        if _stack.modes[-1] is not self or not _may_draw(func):
            return func(*args, **(kwargs or {}))
        with self._handing:
            return func(*args, **(kwargs or {}))


class _Handing(TorchDispatchMode):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _is_random(func) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        device = _device_of(args, kwargs)
        if device.type == "meta":
            return func(*args, **kwargs)
        generator = self._generator(device)
        with_generator = _with_generator(func)
        if with_generator is not None:
            return with_generator(*args, **kwargs, generator=generator)
        return _with_global_state(generator, device, lambda: func(*args, **kwargs))

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def in_32_bits(seed: int) -> int:
    # The Mersenne Twister of the CPU takes the low 32 bits of a seed and leaves the rest out without a word.
    return seed if 0 <= seed < 2**32 else crc32(str(seed).encode())


@cache
def _may_draw(func: Any) -> bool:
    """Whether a function of torch's Python surface can come to a random operation: one of that name is random, or it is
    written in Python, which may call any."""
    operation = getattr(torch.ops.aten, getattr(func, "__name__", "-"), None)
    if not isinstance(operation, torch._ops.OpOverloadPacket):
        return isinstance(func, FunctionType)
    return any(_is_random(getattr(operation, overload)) for overload in operation.overloads())


@cache
def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def _with_generator(func: Any) -> Any:
    """The overload of an operation that takes the same arguments and a generator, or None."""
    names = {argument.name for argument in func._schema.arguments}
    if "generator" in names:
        return func
    for overload in func.overloadpacket.overloads():
        candidate = getattr(func.overloadpacket, overload)
        if {argument.name for argument in candidate._schema.arguments} == names | {"generator"}:
            return candidate
    return None


def _device_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    return next((value.device for value in args if isinstance(value, Tensor)), torch.device("cpu"))


def _with_global_state(generator: torch.Generator, device: torch.device, action: Any) -> Any:
    """Lends the private generator's state to the global one for an operation that can be handed none."""
    default = (
        torch.default_generator
        if device.type == "cpu"
        else torch.get_device_module(device).default_generators[device.index or 0]
    )
    before = default.get_state()
    default.set_state(generator.get_state())
    try:
        return action()
    finally:
        generator.set_state(default.get_state())
        default.set_state(before)
