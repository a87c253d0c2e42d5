"""Random numbers and masks, the same at every call."""

import torch

from tests.losses.criterion_tester import SIZE


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(count, seed, size=SIZE):
    """Masks of about a third of the pixels, in blocks of four, so that they survive being made smaller."""
    coarse = noise(count, -(-size[0] // 4), -(-size[1] // 4), seed=seed) > 0.4
    return coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, : size[0], : size[1]]
