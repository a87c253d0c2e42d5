"""Numbers that are none: what a training that ran away leaves in a checkpoint."""

from collections.abc import Mapping

import torch
from torch import Tensor

_SHOWN = 5


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the floating tensors that hold NaN or infinity. Tensors without storage (meta) hold neither."""
    known = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.is_meta}
    # NaN and infinity stay in a sum, which is some ten times faster than to look at each number (400 MB: 0.04 s instead
    # of 0.5 s). A sum can also leave the type's range by itself, so that a doubtful one is looked at.
    sums = [tensor.sum(dtype=torch.float32 if tensor.element_size() < 4 else None).float() for tensor in known.values()]
    if not sums or torch.stack(sums).sum().isfinite():
        return []
    return [name for name, tensor in known.items() if not tensor.isfinite().all()]


def not_finite_note(origin: str, names: list[str]) -> str:
    """One sentence about the names that `not_finite` gave."""
    more = ", ..." if len(names) > _SHOWN else ""
    tensors = "tensor holds" if len(names) == 1 else "tensors hold"
    return f"{len(names)} {tensors} NaN or infinity in {origin}: {', '.join(names[:_SHOWN])}{more}"
