"""The layouts that transformer and convolutional stages work in, and normalisation of a map in each."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbonekit.backbones.hf.family import Family, Layout, OutputNorm
from backbonekit.contract.features import Level
from backbonekit.errors import ContractError


def normalised(x: Tensor, layout: Layout, norm: nn.Module) -> Tensor:
    """A LayerNorm over the channels, wherever the layout has them."""
    if layout == "NCHW":
        return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return norm(x)


def to_map(x: Tensor, layout: Layout, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """A stage's output as [batch, channels, height, width], and its prefix tokens [batch, tokens, channels] if any.

    A view, in memory as the stage left it. `grid`: (height, width) of the token layout, whose tokens end with one for
    each place of the grid.
    """
    if layout == "NCHW":
        return x, None
    if layout == "NHWC":
        return x.permute(0, 3, 1, 2), None
    places = grid[0] * grid[1]
    prefix = x.shape[1] - places
    # [batch, tokens, channels] -> [batch, height, width, channels]
    spatial = x[:, prefix:].unflatten(1, grid)
    return spatial.permute(0, 3, 1, 2), x[:, :prefix] if prefix else None


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
