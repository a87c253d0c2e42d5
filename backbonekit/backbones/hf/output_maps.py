"""The layouts of stage outputs (NCHW, NHWC, tokens): conversion to feature maps, and normalisation in each."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbonekit.backbones.hf.family import Family, Layout, OutputNorm
from backbonekit.contract.features import Level
from backbonekit.errors import ContractError


def normalised(x: Tensor, layout: Layout, norm: nn.Module) -> Tensor:
    """A stage's output after a LayerNorm over its channels."""
    if layout == "NCHW":
        return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return norm(x)


def to_map(x: Tensor, layout: Layout, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """A stage's output as [batch, channels, height, width], and its prefix tokens [batch, tokens, channels] if any.

    A view without a copy. `grid`: (height, width) of the token layout, in which the last height * width tokens are the
    positions of the grid.
    """
    if layout == "NCHW":
        return x, None
    if layout == "NHWC":
        return x.permute(0, 3, 1, 2), None
    positions = grid[0] * grid[1]
    prefix = x.shape[1] - positions
    # [batch, tokens, channels] -> [batch, height, width, channels]
    spatial = x[:, prefix:].unflatten(1, grid)
    return spatial.permute(0, 3, 1, 2), x[:, :prefix] if prefix else None


def check_output_norm(family: Family, norm: OutputNorm) -> None:
    """Raises ContractError where a family has no such norm."""
    if norm in ("final", "last") and family.final_norm == "never":
        raise ContractError(f"args.norm: {family.model_type} has no final norm; use none or per_stage.")


def stage_norms(family: Family, levels: Sequence[Level], norm: OutputNorm) -> nn.ModuleDict:
    """A LayerNorm over the channels of each stage, by the stage's name; empty unless `norm` is per_stage.

    transformers builds them for the selected stages alone, and most checkpoints have none: they start with weight 1 and
    bias 0.
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
