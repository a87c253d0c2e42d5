"""What is done to a backbone's maps on their way out: nothing, the model's final norm, or a LayerNorm a stage."""

from collections.abc import Sequence

from torch import nn

from backbonekit.backbones.hf.family import Family, OutputNorm
from backbonekit.contract.features import Level
from backbonekit.errors import ContractError


def check_output_norm(family: Family, norm: OutputNorm) -> None:
    """Raises ContractError where a family has no such norm."""
    if norm in ("final", "last") and family.final_norm == "never":
        raise ContractError(f"args.norm: {family.model_type} has no final norm; use none or per_stage.")


def stage_norms(family: Family, levels: Sequence[Level], norm: OutputNorm) -> nn.ModuleDict:
    """A LayerNorm over the channels of each stage, by the stage's name; empty unless `norm` is per_stage.

    transformers makes them for the stages that are asked for, and most checkpoints have none: they start with weight 1
    and bias 0.
    """
    if norm != "per_stage":
        return nn.ModuleDict()
    return nn.ModuleDict(
        {
            level.name: nn.LayerNorm(level.channels, eps=family.norm_epsilon)
            for index, level in enumerate(levels)
            if index not in family.forbidden
        }
    )
