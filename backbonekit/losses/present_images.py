"""Images of a batch that have a truth."""

from collections.abc import Sequence

import torch
from torch import Tensor


def images_at(batched: Tensor, indices: Sequence[int]) -> Tensor:
    """Those images of a tensor that starts with the batch. No index tensor, which would have to reach the device."""
    if len(indices) == batched.shape[0]:
        return batched
    return torch.stack([batched[index] for index in indices])
