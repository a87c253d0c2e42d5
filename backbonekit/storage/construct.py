"""Constructing modules: from a private seed, or without memory for weights that a checkpoint brings."""

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
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from backbonekit.errors import WeightsError


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random operation inside draws from a generator of this seed; the global ones are as before afterwards.

    `seed`: any whole number. The numbers drawn are those that `torch.manual_seed(seed)` gives, for seeds of 32 bits.
    May be nested; the innermost counts. The generators of `random` and numpy, which no operation can be handed, are
    seeded and set back.
    """
    seed = _in_32_bits(seed)
    numbers, arrays = random.getstate(), numpy.random.get_state()
    random.seed(seed)
    numpy.random.seed(seed)
    try:
        with _PrivateGenerator(seed):
            yield
    finally:
        random.setstate(numbers)
        numpy.random.set_state(arrays)


@contextmanager
def without_weights() -> Iterator[None]:
    """Parameters of two and more dimensions come out on the meta device, with shape and type and no memory.

    Everything else is real: buffers are computed as ever, and vectors (norms, biases, scales) have the values that the
    architecture starts them with. Parameters that are one and the same stay so. Only modules constructed by this thread
    are affected. Fill what is missing, then call `finish`.
    """
    thread = threading.get_ident()
    places: list[tuple[nn.Module, str]] = []
    skip = _SkipInit()

    def note(module: nn.Module, name: str, parameter: Any) -> None:
        if threading.get_ident() == thread and type(parameter) is nn.Parameter:
            places.append((module, name))
            skip.registered.append(parameter)

    # Until construction is over the tensors stay where they are, allocated but never written to, which costs no memory
    # that the system would have to find: many modules compute their buffers on the device of a weight beside them.
    handle = register_module_parameter_registration_hook(note)
    try:
        with skip:
            yield
    finally:
        handle.remove()
    empty: dict[int, nn.Parameter] = {}
    kept: list[nn.Parameter] = []  # alive until the end, so that no number in `empty` is given twice
    for module, name in places:
        parameter = module._parameters.get(name)
        if parameter is None or parameter.is_meta or parameter.dim() < 2:
            continue
        kept.append(parameter)
        if id(parameter) not in empty:
            empty[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
        module._parameters[name] = empty[id(parameter)]


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Everything constructed inside is on the meta device: shapes and types, no values, and no time spent on drawing
    them, which on that device is most of a construction's."""
    with torch.device("meta"), _SkipInit():
        yield


def finish(module: nn.Module) -> None:
    """Asserts that a module constructed `without_weights` has been filled. Raises WeightsError that names what was not.

    Buffers need no rebuilding: such a construction computes them.
    """
    left = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    left += [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if left:
        shown = ", ".join(left[:10]) + (f", ... ({len(left)} in all)" if len(left) > 10 else "")
        raise WeightsError(f"{type(module).__name__} has weights that nothing filled: {shown}.")


# What initialisers call; none of them changes shape or type. Those of torch.nn.init come as a whole where they ask the
# mode themselves, with the tensor as a keyword.
_IN_PLACE = (
    *("uniform_", "normal_", "erfinv_", "mul_", "add_", "sub_", "div_", "clamp_", "fill_", "zero_", "copy_"),
    *("bernoulli_", "random_", "exponential_", "log_normal_", "cauchy_", "geometric_"),
)
_INITIALISING = frozenset(
    (
        *(getattr(Tensor, name) for name in _IN_PLACE),
        *(nn.init.uniform_, nn.init.normal_, nn.init.constant_, nn.init.kaiming_uniform_),
    )
)


_COMPARING = frozenset((Tensor.__lt__, Tensor.__gt__, Tensor.lt, Tensor.gt))


class _SkipInit(TorchFunctionMode):
    """Leaves out initialisation in place of the parameters that a checkpoint brings: most of a construction's time."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[nn.Parameter] = []  # held, so that no address is given twice
        self._addresses: set[int] = set()
        self._known = 0  # how many of the registered ones' addresses are there

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALISING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.dim() >= 2 and (type(tensor) is nn.Parameter or self._is_left(tensor)):
                return tensor
        elif func in _COMPARING and type(args[0]) is nn.Parameter and args[0].dim() >= 2:
            # Rejection sampling (a truncated normal) asks which numbers are out of range: of numbers not drawn, none.
            return torch.zeros((), dtype=torch.bool, device=args[0].device)
        return func(*args, **kwargs)

    def _is_left(self, tensor: Tensor) -> bool:
        """Whether it is the `data` of a parameter, which is a tensor of its own at the same address."""
        self._addresses.update(one.data_ptr() for one in self.registered[self._known :] if not one.is_meta)
        self._known = len(self.registered)
        return not tensor.is_meta and tensor.data_ptr() in self._addresses


class _Stack(threading.local):
    """The private generators in use by one thread, innermost last."""

    def __init__(self) -> None:
        self.modes: list[_PrivateGenerator] = []


_stack = _Stack()


class _PrivateGenerator(TorchFunctionMode):
    """Hands a generator of its own to every random operation that was not given one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._handing = _Handing(seed)

    def __enter__(self) -> "_PrivateGenerator":
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


def _in_32_bits(seed: int) -> int:
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
