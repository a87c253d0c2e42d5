"""The activation functions that a recipe can name. They may overwrite their input."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as functional
from torch import Tensor

Activation = Literal["relu", "gelu", "silu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu_,  # in place
    "gelu": functional.gelu,  # the exact one, by the error function
    "silu": functional.silu,
}
