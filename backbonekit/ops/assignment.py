"""Hungarian matching: the one-to-one assignment of predictions to targets in every set loss.

Source: Kuhn, "The Hungarian Method for the Assignment Problem" (1955); Stewart et al., "End-to-end people detection in
crowded scenes" (2016); Carion et al., DETR (2020), section 3.1. The solver is scipy's.
"""

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from backbonekit.errors import ContractError


def to_host(*tensors: Tensor) -> list[numpy.ndarray]:
    """Several tensors as arrays on the host, in the type of the first, in a single transfer, because each transfer
    waits for the device's queue."""
    flat = torch.cat([tensor.detach().flatten().to(tensors[0].dtype) for tensor in tensors]).cpu().numpy()
    ends = numpy.cumsum([tensor.numel() for tensor in tensors])[:-1]
    return [part.reshape(tensor.shape) for part, tensor in zip(numpy.split(flat, ends), tensors, strict=True)]


def assign(
    costs: numpy.ndarray, candidates: Sequence[numpy.ndarray]
) -> list[list[tuple[numpy.ndarray, numpy.ndarray]]]:
    """The assignment of least total cost for every layer and row.

    `costs`: [layers, rows, queries, targets], on the host. `candidates`: for every row the columns that hold
    targets. Returns for every layer and row (queries, targets), sorted by query, where
    len(queries) == len(targets) == min(number of queries, number of candidates).

    NaN and infinite costs count as very high: a model that diverged must not stop the solver.
    """
    # Here, since scipy takes long to import and only training needs it.
    from scipy.optimize import linear_sum_assignment

    # Far above any real cost, far below where sums of it lose the differences between the others.
    costs = numpy.nan_to_num(costs, nan=1e9, posinf=1e9, neginf=1e9)
    matches = []
    for layer in costs:
        solved = [linear_sum_assignment(cost[:, columns]) for cost, columns in zip(layer, candidates, strict=True)]
        matches.append(
            [(queries, columns[targets]) for (queries, targets), columns in zip(solved, candidates, strict=True)]
        )
    return matches


# A custom operator, so that a compiler sees one call with a known shape instead of code on the host.
@torch.library.custom_op("backbonekit::matched_pairs", mutates_args=())
def matched_pairs(
    costs: Tensor, present: Tensor, in_range: Tensor, counts: Sequence[int], num_classes: int, is_complete: bool
) -> Tensor:
    """The assignment of least total cost for every layer and row, solved on the host: one transfer there, one back.

    `costs`: [layers, rows, queries, targets]. `present`: bool [rows, targets], False in the padding and for absent
    classes. `in_range`: bool [rows, targets], whether the label is one of the `num_classes`. `counts`: the number of
    columns of each row before its padding. `is_complete`: whether all these are present, so that the number of pairs is
    known in advance.

    Returns int64 [3, layers, pairs]: rows, queries, targets; by row, then by query. Every layer has the same number of
    pairs, the sum over rows of min(number of queries, number of targets). Raises ContractError for a label that is
    not a class.
    """
    costs_there, present_there, in_range_there = to_host(costs, present, in_range)
    candidates = [numpy.flatnonzero(row) for row in present_there]
    for row, (known, columns) in enumerate(zip(in_range_there, candidates, strict=True)):
        wrong = columns[known[columns] == 0]
        if wrong.size:
            raise ContractError(
                f"targets: labels[{wrong[0]}] of image {row} is not a class; with num_classes={num_classes} labels run "
                f"from 0 to {num_classes - 1}."
            )
    pairs = [
        (row, query, target)
        for layer in assign(costs_there, candidates)
        for row, (queries, targets) in enumerate(layer)
        for query, target in zip(queries, targets, strict=True)
    ]
    table = numpy.array(pairs, dtype=numpy.int64).reshape(costs.shape[0], -1, 3).transpose(2, 0, 1)
    return torch.from_numpy(numpy.ascontiguousarray(table)).to(costs.device, non_blocking=True)


@matched_pairs.register_fake
def _(
    costs: Tensor, present: Tensor, in_range: Tensor, counts: Sequence[int], num_classes: int, is_complete: bool
) -> Tensor:
    layers, _, queries, _ = costs.shape
    known = sum(min(queries, count) for count in counts)
    pairs = known if is_complete else torch.library.get_ctx().new_dynamic_size()
    return costs.new_empty((3, layers, pairs), dtype=torch.int64)
