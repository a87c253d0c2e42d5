"""Drawing from a seed without moving the random state of the program around it."""

import random
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from zlib import crc32

import numpy
import torch

# The generators are the process's: blocks of several threads take turns. A block may be inside another one.
_TURN = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random operations inside draw what they draw after `torch.manual_seed(seed)`; afterwards the generators of torch,
    `random` and numpy are in the state they had before.

    `seed`: any whole number. Of torch's generators, the CPU's is seeded, and the default device's where that is another
    one (`torch.device("cuda")` around the block); no other device is touched. May be nested. Threads wait for each
    other at such a block. A thread that draws outside of it while another one is inside changes the numbers that both
    get, because torch's generator is shared.
    """
    seed = _in_32_bits(seed)
    device = torch.get_default_device()
    with _TURN:
        numbers, arrays = random.getstate(), numpy.random.get_state()
        try:
            with _forked(device):
                _seed_all(seed, device)
                yield
        finally:
            random.setstate(numbers)
            numpy.random.set_state(arrays)


def _forked(device: torch.device) -> AbstractContextManager[None]:
    if _has_own_generator(device):
        return torch.random.fork_rng([device.index], device_type=device.type)
    return torch.random.fork_rng([])


def _seed_all(seed: int, device: torch.device) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    # torch.manual_seed would seed every device, those not in use yet at their first use.
    torch.default_generator.manual_seed(seed)
    if _has_own_generator(device):
        state = torch.Generator(device).manual_seed(seed).get_state()
        torch.get_device_module(device).set_rng_state(state, device.index)


def _has_own_generator(device: torch.device) -> bool:
    return device.type not in ("cpu", "meta")


def _in_32_bits(seed: int) -> int:
    # The Mersenne Twister of the CPU takes the low 32 bits of a seed and leaves the rest out without a word.
    return seed if 0 <= seed < 2**32 else crc32(str(seed).encode())
