"""One-to-one assignment of predictions to targets, for every set loss.

Source: Kuhn, "The Hungarian Method for the Assignment Problem" (1955); Stewart et al., "End-to-end people detection in
crowded scenes" (2016); Carion et al., DETR (2020), section 3.1. The solver is scipy's.
"""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """Several tensors as arrays on the host, in the type of the first, in a single transfer: each transfer is a stop of
    the device's queue."""
    flat = torch.cat([tensor.detach().flatten().to(tensors[0].dtype) for tensor in tensors]).cpu().numpy()
    ends = numpy.cumsum([tensor.numel() for tensor in tensors])[:-1]
    return [part.reshape(tensor.shape) for part, tensor in zip(numpy.split(flat, ends), tensors, strict=True)]


def assign(costs: NDArray[Any], candidates: Sequence[NDArray[Any]]) -> list[list[tuple[NDArray[Any], NDArray[Any]]]]:
    """The assignment of least total cost, for every layer and picture.

    `costs`: [layers, pictures, queries, targets], on the host. `candidates`: for every picture the columns that are
    real targets. Returns for every layer and picture (queries, targets), sorted by query, where
    len(queries) == len(targets) == min(number of queries, number of candidates).

    A cost that is not a number or infinite is taken last: a model that diverged must not stop the solver.
    """
    from scipy.optimize import (
        linear_sum_assignment,
    )  # here, since scipy takes long to import and only training needs it

    # Far above any real cost, far below where sums of it lose the differences between the others.
    costs = numpy.nan_to_num(costs, nan=1e9, posinf=1e9, neginf=1e9)
    matches = []
    for layer in costs:
        solved = [linear_sum_assignment(cost[:, columns]) for cost, columns in zip(layer, candidates, strict=True)]
        matches.append(
            [(queries, columns[targets]) for (queries, targets), columns in zip(solved, candidates, strict=True)]
        )
    return matches
