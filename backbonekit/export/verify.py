"""Whether an exported program gives what the model gives."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbonekit.errors import ContractError

Call = Callable[..., dict[str, Tensor]]
TOLERANCE = 1e-3  # of the largest number of a tensor; float32 in another order of summation stays well below


def largest_difference(program: Call, model: Call, inputs: Sequence[tuple[Tensor, ...]]) -> float:
    """The largest difference between the two over all inputs, relative to the largest number of each output.

    Raises ContractError where the program refuses an input, names other tensors, or differs by more than the tolerance.
    """
    worst = 0.0
    for given in inputs:
        shape = list(given[0].shape)
        with torch.no_grad():
            expected = model(*given)
            try:
                prediction = program(*given)
            except Exception as error:  # guards raise whatever they like
                raise ContractError(
                    f"export: the exported program refuses an input of {shape}, which the model takes ({error}). "
                    f"Nothing was written. The fix: free_size=False, with size=(height, width)."
                ) from error
        if prediction.keys() != expected.keys():
            raise ContractError(
                f"export: the exported program returns {', '.join(prediction)}, and the model {', '.join(expected)}."
            )
        for name, tensor in expected.items():
            scale = tensor.abs().max().clamp(min=1e-6)
            difference = float((prediction[name].float() - tensor.float()).abs().max() / scale)
            if not difference <= TOLERANCE:  # NaN is no agreement either
                raise ContractError(
                    f"export: {name} of the exported program differs from the model's by {difference:.1e} of its "
                    f"largest value on an input of {shape}; at most {TOLERANCE:.0e} is allowed. Nothing was written."
                )
            worst = max(worst, difference)
    return worst
