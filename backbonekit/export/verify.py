"""Compares the outputs of an exported program with those of the model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbonekit.errors import ContractError

Call = Callable[..., dict[str, Tensor]]
TOLERANCE = 1e-3  # relative to the largest value; float32 rounding in another order of summation stays well below


def largest_difference(program: Call, model: Call, inputs: Sequence[tuple[Tensor, ...]]) -> float:
    """The largest difference between the two over all inputs, relative to the largest value of each output.

    Raises ContractError where the program raises on an input, returns other names, or differs by more than `TOLERANCE`.
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
            scale = tensor.abs().max().clamp(min=1e-6)
            difference = float((prediction[name].float() - tensor.float()).abs().max() / scale)
            if not difference <= TOLERANCE:  # a difference of NaN fails too
                raise ContractError(
                    f"export: {name} of the exported program differs from the model's by {difference:.1e} of its "
                    f"largest value on an input of shape {shape}; at most {TOLERANCE:.0e} is allowed. "
                    f"Nothing was written."
                )
            worst = max(worst, difference)
    return worst
