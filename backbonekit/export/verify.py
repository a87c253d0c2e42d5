"""Compares the outputs of an exported file with those of the model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbonekit.errors import ContractError

Call = Callable[..., dict[str, Tensor]]
# Relative to the largest value. Rounding in another order of summation stays well below in float32 (3e-6 at most over
# the shipped recipes); float16 has 1.9e-3 in a small FCN, and bfloat16 eight times coarser numbers.
TOLERANCES = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
TOLERANCE = 1e-3
# The share of whole numbers (classes of pixels) and of truth values that may differ: where two scores are equal within
# rounding. Chosen, not measured.
DIFFERENT_LABELS = 2e-3
# The share of a set (queries of a two-stage detector) that may have no partner: the last of those that were chosen by a
# score, of which the next one's is equal within rounding. Chosen: 6 of 300. That order does not count is measured:
# RT-DETR v2 with random weights differs by 0.7 of its largest box coordinate position by position, by 3e-7 as a set.
UNMATCHED = 0.02


def largest_difference(
    program: Call, model: Call, inputs: Sequence[tuple[Tensor, ...]], sets: Sequence[Sequence[str]] = ()
) -> float:
    """The largest difference between the two over all inputs, relative to the largest value of each output.

    `sets`: outputs that belong together and are a set along their second dimension, so that its order does not count.
    Raises ContractError where the program raises on an input, returns other names, or differs by more than its
    tolerance.
    """
    worst = 0.0
    for given in inputs:
        shape = list(given[0].shape)
        with torch.no_grad():
            expected = model(*given)
            try:
                prediction = program(*given)
            except Exception as error:  # the guards of a program raise errors of every kind
                raise ContractError(
                    f"export: the exported program refuses an input of shape {shape}, which the model accepts "
                    f"({error}). Nothing was written. The fix: free_size=False, with size=(height, width)."
                ) from error
        if prediction.keys() != expected.keys():
            raise ContractError(
                f"export: the exported program returns {', '.join(prediction)}; the model returns "
                f"{', '.join(expected)}. Nothing was written."
            )
        for name, tensor in expected.items():
            if prediction[name].shape != tensor.shape:
                raise ContractError(
                    f"export: {name} of the exported program has the shape {list(prediction[name].shape)}, the model's "
                    f"{list(tensor.shape)}. Nothing was written. The fix: free_size=False, with size=(height, width)."
                )
        in_sets = {name for names in sets for name in names}
        for names in [*sets, *([name] for name in expected if name not in in_sets)]:
            is_set = any(name in in_sets for name in names)
            pairs = [(prediction[name], expected[name]) for name in names]
            difference = _of_set(pairs) if is_set else _of_tensor(*pairs[0])
            allowed = TOLERANCES.get(given[0].dtype, TOLERANCE)
            if not difference <= allowed:  # a difference of NaN fails too
                raise ContractError(
                    f"export: {' and '.join(names)} of the exported program differs from the model's by "
                    f"{difference:.1e} of its largest value on an input of shape {shape}; at most {allowed:.0e} is "
                    f"allowed. Nothing was written."
                )
            worst = max(worst, difference)
    return worst


def _of_tensor(found: Tensor, expected: Tensor) -> float:
    if not expected.is_floating_point():
        share = float((found != expected).float().mean())
        return 0.0 if share <= DIFFERENT_LABELS else share
    scale = expected.abs().max().clamp(min=1e-6)
    return float((found.float() - expected.float()).abs().max() / scale)


def _of_set(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The largest distance of a member of one set to the nearest of the other, `UNMATCHED` of them left out."""
    columns: tuple[list[Tensor], list[Tensor]] = [], []
    for pair in pairs:
        scale = pair[1].float().abs().max().clamp(min=1e-6)
        for side, tensor in zip(columns, pair, strict=True):
            side.append(tensor.float().flatten(2) / scale if tensor.ndim > 2 else tensor.float()[..., None] / scale)
    found, expected = (torch.cat(side, dim=2) for side in columns)
    distances = torch.cdist(expected, found, p=float("inf"))  # [batch, members, members]
    left_out = int(UNMATCHED * distances.shape[1])
    both = [distances.amin(dim=2), distances.amin(dim=1)]
    if not all(bool(one.isfinite().all()) for one in both):
        return float("nan")
    return max(float(one.sort(dim=1).values[:, one.shape[1] - 1 - left_out].max()) for one in both)
