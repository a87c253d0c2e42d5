"""Dropout of a family's modules, which acts in training alone: the rates of a configuration, put into a timm model."""

from collections.abc import Mapping, Sequence

from torch import nn

# Where a rate acts: on the output of the stem, or in the modules of the blocks with these names.
EMBEDDINGS = "embeddings"
ATTENTION = "attn.attn_drop"
ATTENTION_OUTPUT = "attn.proj_drop"
FEEDFORWARD_INNER = "mlp.drop1"
FEEDFORWARD_OUTPUT = "mlp.drop2"
FEEDFORWARD = "mlp.drop"  # of timm's PVT v2, one module at both points
MODULATION = "modulation.proj_drop"


def set_dropout(body: nn.Module, dropouts: Mapping[str, Sequence[str]], rates: Mapping[str, float]) -> float:
    """Sets the rates in the blocks of `body` and returns the rate of the stem's output.

    `dropouts`: for each field of a configuration where its rate acts. `rates`: the value of each field.
    """
    for field, rate in rates.items():
        endings = tuple(f".{name}" for name in dropouts[field] if name != EMBEDDINGS)
        for name, module in body.named_modules():
            if name.endswith(endings):
                assert isinstance(module, nn.Dropout), name
                module.p = rate
    return max((rate for field, rate in rates.items() if EMBEDDINGS in dropouts[field]), default=0.0)
