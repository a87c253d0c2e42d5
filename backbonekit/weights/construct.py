"""Constructing modules without memory for weights that a checkpoint brings."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from backbonekit.contract.garbage import nothing_collected
from backbonekit.errors import RecipeError, WeightsError
from backbonekit.weights.budget import Count, counted, max_seconds
from backbonekit.weights.private_random import seeded


@contextmanager
def without_weights(seed: int = 0) -> Iterator[None]:
    """Parameters of two and more dimensions come out on the meta device, with shape and type and no memory.

    Everything else is real: buffers are computed as ever, and vectors (norms, biases, scales) have the values that the
    architecture starts them with, random ones drawn with this `seed` as `seeded` draws them. Tied
    parameters stay tied. Only modules constructed by this thread are affected. Fill what is missing, then call
    `finish`.
    """
    thread = threading.get_ident()
    parameters: list[tuple[nn.Module, str]] = []
    skip = _SkipInit()

    def note(module: nn.Module, name: str, parameter: Any) -> None:
        if threading.get_ident() == thread and type(parameter) is nn.Parameter:
            parameters.append((module, name))
            skip.registered.append(parameter)

    # Until construction is over the tensors are allocated but never written to, which costs no memory
    # that the system would have to find: many modules compute their buffers on the device of a weight beside them.
    handle = register_module_parameter_registration_hook(note)
    try:
        with seeded(seed), skip:
            yield
    finally:
        handle.remove()
    empty: dict[int, nn.Parameter] = {}
    for module, name in parameters:
        parameter = module._parameters.get(name)
        if parameter is None or parameter.is_meta or parameter.dim() < 2:
            continue
        if id(parameter) not in empty:
            empty[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
        module._parameters[name] = empty[id(parameter)]


@contextmanager
def shapes_alone() -> Iterator[Count]:
    """Everything constructed inside is on the meta device: shapes and types, no values, and no time spent on drawing
    them, which on that device is most of a construction's. Yields the count of what is constructed. Raises RecipeError
    for an architecture over the budget."""
    deadline = time.thread_time() + max_seconds()  # collecting garbage would count as time of the architecture
    with nothing_collected(), torch.device("meta"), seeded(0), _SkipInit(deadline), counted() as count:
        yield count


def finish(module: nn.Module) -> None:
    """Asserts that a module constructed `without_weights` has been filled. Raises WeightsError that names what was not.

    Buffers need no rebuilding: such a construction computes them.
    """
    left = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    left += [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if left:
        shown = ", ".join(left[:10]) + (f", ... ({len(left)} in all)" if len(left) > 10 else "")
        raise WeightsError(f"{type(module).__name__} has weights that nothing filled: {shown}.")


# What initialisers call; none of them changes shape or type. Functions of torch.nn.init that call the mode
# themselves are listed as a whole; they pass the tensor as a keyword.
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
    """Skips the initialisation of parameters that a checkpoint fills, which takes most of a construction's time.

    `deadline`: of the construction, in this thread's processor time. Some architectures fill tables by loops over the
    image size.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        super().__init__()
        self.deadline = deadline
        self.registered: list[nn.Parameter] = []  # held, so that no address is given twice
        self._addresses: set[int] = set()
        self._known = 0  # how many of the registered ones' addresses are there

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Never from the end of a `torch.no_grad` block: it would leave gradients off for the rest of the process.
        if func is not torch._C._set_grad_enabled and time.thread_time() > self.deadline:
            raise RecipeError(
                f"The architecture takes more than {max_seconds():g} seconds to lay out. The fix: fewer layers, or a"
                " smaller image size in its arguments; or, from Python, `with backbonekit.architecture_budget(...)`"
                " around the build."
            )
        if func in _INITIALISING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.dim() >= 2 and (type(tensor) is nn.Parameter or self._is_left(tensor)):
                return tensor
        elif func in _COMPARING and type(args[0]) is nn.Parameter and args[0].dim() >= 2:
            # Rejection sampling (a truncated normal) draws again what is out of range. Nothing was drawn: nothing is.
            return torch.zeros((), dtype=torch.bool, device=args[0].device)
        return func(*args, **kwargs)

    def _is_left(self, tensor: Tensor) -> bool:
        """Whether it is the `data` of a parameter, which is a tensor of its own at the same address."""
        self._addresses.update(one.data_ptr() for one in self.registered[self._known :] if not one.is_meta)
        self._known = len(self.registered)
        return not tensor.is_meta and tensor.data_ptr() in self._addresses
