"""The description of a family of backbones: each family's file defines one as `FAMILY`."""

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

    `final_norm`: whether the architecture's own last normalisation is built.
    """

    in_channels: int
    last: int
    final_norm: bool


def no_extra_inputs(body: nn.Module, x: Tensor, grid: tuple[int, int]) -> tuple[Any, ...]:
    """The extra inputs of units that take the feature map alone: none."""
    return ()


def unchanged(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """A stage's output in its own layout."""
    return x


def channels_first(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """[batch, height, width, channels] -> [batch, channels, height, width]."""
    return x.permute(0, 3, 1, 2).contiguous()


def flatten_positions(body: nn.Module, x: Tensor, index: int) -> Tensor:
    """[batch, height, width, channels] -> [batch, height * width, channels]."""
    return x.flatten(1, 2)


def unchanged_weights(module: nn.Module, weights: Tensor) -> Tensor:
    """Attention weights that are already [batch, heads, queries, keys]."""
    return weights


def identity_norm_start(config: Any) -> tuple[float, float]:
    """Weight 1 and bias 0: a scale and a shift that change nothing."""
    return 1.0, 0.0


@dataclass(frozen=True)
class Family:
    """A model type of transformers on a timm architecture. The functions take the family's own configuration class.

    `levels`: every map, the stem first where there is one. `forbidden`: positions that transformers names but has no
    map for.
    `construct_body`: the timm model, cut after `BodyPlan.last`, without unused modules.
    `embed(body, pixel_values)`: the stem's output in `layout` and its grid (height, width).
    `units(body)`: for each stage after the stem, the modules that it runs through; each can be checkpointed.
    `has_stem`: whether position 0 is the stem. Where it is not, the first of `units` takes the output of `embed`.
    `extra_inputs(body, x, grid)`: further inputs of every unit, such as rotary embeddings, computed once a forward.
    `key_map`: transformers' un-prefixed names to those of the constructed module (`body.` and `norms.`).
    `stage_of(name)`: the position of the level that a weight of `body` belongs to; None for the final normalisation.
    `stem`: the weight applied to the pixels. `position_table`: the weight whose size depends on the image's, or None.
    `default_norm`: how transformers normalises the maps. `final_norm`: the stages that the final norm fits.
    `pooled_epsilon`: of the LayerNorm behind the pooling of the last map, in families that have one there.
    `norm_epsilon`: of per-stage norms. `norm_start`: weight and bias of those that a checkpoint lacks.
    `resample_positions(table, size)`: the table of the same architecture made for another number of positions.
    `hidden_state(body, x, index)`: a stage's output in the layout of transformers' `hidden_states`.
    `attentions(body)`: the modules whose weights transformers returns as `attentions`, in that order; None where it
    returns none. `attention_weights(module, weights)`: such a module's weights, in the shape that transformers returns.
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
    norm_start: Callable[[Any], tuple[float, float]] = identity_norm_start
    has_stem: bool = True
    extra_inputs: Callable[[Any, Tensor, tuple[int, int]], tuple[Any, ...]] = no_extra_inputs
    forbidden: frozenset[int] = frozenset()
    pooled_epsilon: Callable[[Any], float] | None = None
    position_table: str | None = None
    resample_positions: Callable[[Tensor, int], Tensor] | None = None
    hidden_state: Callable[[Any, Tensor, int], Tensor] = unchanged
    attentions: Callable[[Any], Sequence[nn.Module]] | None = None
    attention_weights: Callable[[Any, Tensor], Tensor] = unchanged_weights

    @property
    def model_type(self) -> str:
        return self.config_class.model_type

    def __reduce__(self) -> tuple[Callable[[str], "Family"], tuple[str]]:
        # A pickled or copied model refers to its family by the module that defines it, as pickle does for a class.
        return _family_in, (self.config_class.__module__,)


def _family_in(module: str) -> Family:
    return import_module(module).FAMILY
