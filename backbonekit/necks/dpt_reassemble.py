"""DPT's reassemble operation: a pyramid from the layers of a plain transformer."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError, RecipeError

Factor = Annotated[float, Range(1 / 32, 32)]
Readout = Literal["ignore", "add", "project"]
_FINEST_OCTAVE = 2  # stride 4, from which levels go down by one octave each
_LEVELS = 4  # the default, without `level_channels` and `factors`


class DPTReassemble(nn.Module):
    """Reassemble: four depths of a transformer, each projected, resized to a stride of its own, and convolved.

        map of depth i -- class token read out -- 1x1 -- resized by 4, 2, 1 or 1/2 -- 3x3 --> p2, p3, p4 or p5

    `channels`: width of every published level.
    `level_channels`: widths between projection and resizing, one for each level; null leaves four levels at their own
    width, unprojected, which a pyramid (Swin) can do without.
    `factors`: what each level is resized by, a whole number or one divided by such; null makes the octaves of the
    strides 4, 8, 16 and 32, so that a pyramid's levels stay as they are.
    `readout`: how the class token is used: "ignore"; "add" to every position; "project": a linear layer with GELU over
    each position concatenated with the token.

    Reads levels spread evenly over the depth of a plain transformer, or the deepest levels of a hierarchical backbone.
    Publishes p2, p3, ... by octave of their nominal strides; extras pass through.

    Source: Ranftl et al., "Vision Transformers for Dense Prediction" (2021), section 3.1; github.com/isl-org/DPT,
    dpt/vit.py; transformers/models/dpt/modeling_dpt.py: DPTReassembleStage.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        level_channels: tuple[Channels, ...] | None = (96, 192, 384, 768),
        factors: tuple[Factor, ...] | None = None,
        readout: Readout = "ignore",
    ) -> None:
        super().__init__()
        levels = features.levels
        widths = features.channels if level_channels is None else level_channels
        steps = _factors(levels) if factors is None else factors
        _check(levels, widths, steps, readout)
        strides = [level.stride / factor for level, factor in zip(levels, steps, strict=True)]
        names = _names(strides)
        self.features = FeaturePyramid(
            tuple(Level(name, channels, stride) for name, stride in zip(names, map(_tidy, strides), strict=True)),
            features.extras,
        )
        self.readout = readout
        self.readouts = nn.ModuleList(
            nn.Linear(2 * level.channels, level.channels) for level in levels if readout == "project"
        )
        self.projections = nn.ModuleList(
            nn.Identity() if level_channels is None else nn.Conv2d(level.channels, width, 1)
            for level, width in zip(levels, widths, strict=True)
        )
        self.resizes = nn.ModuleList(_resize(width, factor) for width, factor in zip(widths, steps, strict=True))
        self.outputs = nn.ModuleList(nn.Conv2d(width, channels, 3, padding=1, bias=False) for width in widths)

    @classmethod
    def needs(
        cls,
        wanted: Requirement | None,
        *,
        level_channels: tuple[Channels, ...] | None = (96, 192, 384, 768),
        factors: tuple[Factor, ...] | None = None,
    ) -> Requirement:
        """As many levels as there are widths or factors."""
        explicit = level_channels or factors
        return Requirement(spread=len(explicit) if explicit else _LEVELS, extras=wanted.extras if wanted else ())

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        levels = []
        for index, level in enumerate(maps.maps):
            tokens = maps.prefix_tokens[index] if maps.prefix_tokens else None
            read = self._read_out(level, tokens, index)
            levels.append(self.outputs[index](self.resizes[index](self.projections[index](read))))
        return FeatureMaps(tuple(levels), extras=maps.extras)

    def _read_out(
        self,
        level: Float[Tensor, "batch channels height width"],
        tokens: Float[Tensor, "batch tokens channels"] | None,
        index: int,
    ) -> Float[Tensor, "batch channels height width"]:
        if self.readout == "ignore" or tokens is None:
            return level
        # The class token is the first; registers may follow.
        token = tokens[:, 0, :, None, None]
        if self.readout == "add":
            return level + token
        # concatenated: [batch, height, width, 2 * channels]
        concatenated = torch.cat([level, token.expand_as(level)], dim=1).permute(0, 2, 3, 1)
        return functional.gelu(self.readouts[index](concatenated)).permute(0, 3, 1, 2)


def _factors(levels: tuple[Level, ...]) -> tuple[float, ...]:
    return tuple(2.0 ** (octave(level.stride) - _FINEST_OCTAVE - index) for index, level in enumerate(levels))


def _resize(channels: int, factor: float) -> nn.Module:
    if factor > 1:
        return nn.ConvTranspose2d(channels, channels, round(factor), stride=round(factor))
    if factor == 1:
        return nn.Identity()
    return nn.Conv2d(channels, channels, 3, stride=round(1 / factor), padding=1)


def _names(strides: list[float]) -> list[str]:
    """By octave; where two levels have one octave, which explicit factors can cause, with the index of the level."""
    names = [f"p{octave(stride)}" for stride in strides]
    return names if len(set(names)) == len(names) else [f"{name}_{index}" for index, name in enumerate(names)]


def _tidy(stride: float) -> float | int:
    return int(stride) if float(stride).is_integer() else stride


def _check(levels: tuple[Level, ...], widths: tuple[int, ...], factors: tuple[float, ...], readout: Readout) -> None:
    counts = {"level_channels": len(widths), "factors": len(factors)}
    for option, count in counts.items():
        if count != len(levels):
            raise ContractError(
                f"neck dpt_reassemble receives {len(levels)} level{'s' if len(levels) != 1 else ''} and {option} has "
                f"{count} numbers; one for each is needed. The fix: backbone.out_indices=auto, or neck.{option} with "
                f"{len(levels)} numbers."
            )
    odd = [factor for factor in factors if not (float(factor).is_integer() or float(1 / factor).is_integer())]
    if odd or not factors:
        raise RecipeError(
            f"dpt_reassemble: factors are whole numbers or one divided by a whole number, such as 4, 2, 1, 0.5; got "
            f"{list(factors)}."
        )
    strides = [level.stride / factor for level, factor in zip(levels, factors, strict=True)]
    if strides != sorted(strides):
        shown = ", ".join(f"{stride:g}" for stride in strides)
        raise RecipeError(
            f"dpt_reassemble: factors {list(factors)} make levels of strides {shown}; levels run fine to coarse. "
            f"The fix: factors=null."
        )
    if readout != "ignore" and any(level.prefix_tokens == 0 for level in levels):
        raise ContractError(
            f"neck dpt_reassemble reads a class token out (readout={readout}), and the maps before it come without "
            f"one. The fix: neck.readout=ignore."
        )
