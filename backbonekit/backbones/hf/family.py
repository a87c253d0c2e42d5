"""What a family of backbones consists of: one such value stands in each family's file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.contract.features import Level
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap

Layout = Literal["NCHW", "NHWC", "tokens"]
OutputNorm = Literal["none", "final", "last", "per_stage"]


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """How much of an architecture is built. `last`: the deepest level's position; mostly 0 is the stem alone.

    `final_norm`: whether the architecture's own last normalisation is wanted.
    """

    in_channels: int
    last: int
    final_norm: bool


def nothing_beside(body: nn.Module, x: Tensor, grid: tuple[int, int]) -> tuple[Any, ...]:
    """Of units that take their input alone."""
    return ()


def as_it_is(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """A stage's output in the layout that it has."""
    return x


def channels_first(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """[batch, height, width, channels] -> [batch, channels, height, width]."""
    return x.permute(0, 3, 1, 2).contiguous()


def flat_places(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """[batch, height, width, channels] -> [batch, height * width, channels]."""
    return x.flatten(1, 2)


def weights_as_they_are(module: nn.Module, weights: Tensor) -> Tensor:
    """Already [batch, heads, queries, keys]."""
    return weights


def as_normalisation_starts(config: Any) -> tuple[float, float]:
    """Weight and bias that change nothing."""
    return 1.0, 0.0


@dataclass(frozen=True)
class Family:
    """A model type of transformers on a timm architecture. The functions take the family's own configuration class.

    `levels`: every map, the stem first where there is one. `forbidden`: positions that transformers names and does not
    give.
    `construct_body`: the timm model, cut after `BodyPlan.last`; nothing of it lies idle.
    `embed(body, pixel_values)`: the stem's output in `layout` and its grid (height, width).
    `units(body)`: for each stage after the stem, the modules that it runs through; each can be checkpointed.
    `has_stem`: whether position 0 is the stem. Where it is not, what `embed` gives runs through the first of `units`.
    `beside(body, x, grid)`: what the units take beside their input, such as rotations; made once for each forward.
    `key_map`: transformers' un-prefixed names to those of the constructed module (`body.` and `norms.`).
    `stage_of(name)`: the position of the level that a weight of `body` belongs to; None for the final normalisation.
    `stem`: the weight that sees the pixels. `position_table`: the weight whose size follows the image's, or None.
    `default_norm`: what transformers does to the maps. `final_norm`: the stages that the final norm fits.
    `norm_epsilon`: of per-stage norms. `norm_start`: weight and bias of those that a checkpoint lacks.
    `resample_positions(table, size)`: the table of the same architecture made for another number of positions.
    `hidden_state(body, x, index)`: a stage's output in the layout of transformers' `hidden_states`.
    `attentions(body)`: the modules whose weights transformers gives as `attentions`, in that order; None where it
    gives none. `attention_weights(module, weights)`: what such a module computed, in the shape that transformers gives.
    """

    config_class: type[ArchitectureConfig]
    levels: Callable[[Any], tuple[Level, ...]]
    construct_body: Callable[[Any, BodyPlan], nn.Module]
    embed: Callable[[Any, Tensor], tuple[Tensor, tuple[int, int]]]
    units: Callable[[Any], Sequence[Sequence[nn.Module]]]
    layout: Layout
    key_map: Callable[[Any], KeyMap]
    stage_of: Callable[[str], int | None]
    stem: str
    default_norm: Callable[[Any], OutputNorm]
    final_norm: Literal["never", "last", "every"]
    processing: Processing
    canvas: Callable[[Any], tuple[int, int]]
    norm_epsilon: float = 1e-5
    norm_start: Callable[[Any], tuple[float, float]] = as_normalisation_starts
    has_stem: bool = True
    beside: Callable[[Any, Tensor, tuple[int, int]], tuple[Any, ...]] = nothing_beside
    forbidden: frozenset[int] = frozenset()
    position_table: str | None = None
    resample_positions: Callable[[Tensor, int], Tensor] | None = None
    hidden_state: Callable[[Any, Tensor, int], Tensor] = as_it_is
    attentions: Callable[[Any], Sequence[nn.Module]] | None = None
    attention_weights: Callable[[Any, Tensor], Tensor] = weights_as_they_are

    @property
    def model_type(self) -> str:
        return self.config_class.model_type

    def __reduce__(self) -> tuple[Callable[[str], "Family"], tuple[str]]:
        # A pickled or copied model refers to its family by the module that defines it, as to a class.
        return _family_in, (self.config_class.__module__,)


def _family_in(module: str) -> Family:
    return import_module(module).FAMILY
