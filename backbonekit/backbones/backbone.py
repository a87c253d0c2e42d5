"""Base class of backbone modules: the levels, the selection of returned maps, and the order of the weights."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.backbones.parameter_order import body_layers, names_of, undecayed
from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.indices import normalise_indices
from backbonekit.contract.maps import FeatureMaps, check_pixel_values
from backbonekit.contract.roles import ParameterOrder
from backbonekit.errors import ContractError

_BODY = "body."


class BackboneModule(nn.Module, ABC):
    """The role `Backbone` on a `body`, which is a model of timm or of transformers.

    `levels`: every level of the architecture, built or not. `forbidden`: positions that have a stage name but no
    feature map. `name`: the architecture's; `builder`: the start of the call that builds it, for messages.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        name: str,
        builder: str,
        levels: Sequence[Level],
        out_indices: tuple[int, ...],
        in_channels: int,
        forbidden: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.name = name
        self.builder = builder
        self.levels = tuple(levels)
        self.forbidden = forbidden
        self.built = out_indices[-1] + 1
        self._out_indices = out_indices
        self.in_channels = in_channels
        self.body = body

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    @property
    def features(self) -> FeaturePyramid:
        return FeaturePyramid(tuple(self.levels[index] for index in self._out_indices))

    @property
    def out_indices(self) -> tuple[int, ...]:
        """The maps that `forward` returns. Setting it selects among the built ones, or raises and changes nothing."""
        return self._out_indices

    @out_indices.setter
    def out_indices(self, value: int | Sequence[int]) -> None:
        self._out_indices = self._selected(value)
        self._selection_changed()

    def forward(self, pixel_values: Float[Tensor, "batch channels height width"]) -> FeatureMaps:
        return self._maps(pixel_values, self._out_indices)

    def maps_at(
        self, pixel_values: Float[Tensor, "batch channels height width"], indices: Sequence[int]
    ) -> FeatureMaps:
        """The maps of other stages than `out_indices`. Raises ContractError for one that was not built."""
        return self._maps(pixel_values, self._selected(indices))

    def parameter_layers(self) -> ParameterOrder:
        layers = body_layers(self.body)
        names = names_of(self)
        return ParameterOrder(
            {name: layers.positions.get(name.removeprefix(_BODY), layers.count) for name in names}, layers.count
        )

    def parameter_stages(self) -> ParameterOrder:
        stages = {name: self.stage_of(name) for name in names_of(self)}
        return ParameterOrder(stages, max(stages.values(), default=0) + 1)

    def no_weight_decay(self) -> frozenset[str]:
        return frozenset(f"{_BODY}{name}" for name in undecayed(self.body))

    def after_pooling(self, vectors: Float[Tensor, "batch channels"], index: int) -> Float[Tensor, "batch channels"]:
        """Vectors that the map at `index` of all stages was pooled to: unchanged, unless the architecture has a norm
        for them and was built with it (`args.norm: embedding`)."""
        return vectors

    @abstractmethod
    def stage_of(self, name: str) -> int:
        """The stage of a parameter or buffer."""

    @abstractmethod
    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recomputes each block in the backward pass instead of keeping what is inside it."""

    @abstractmethod
    def _maps(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        """The maps of built stages."""

    def _selected(self, value: int | Sequence[int]) -> tuple[int, ...]:
        return select_built(
            value,
            self.levels,
            built=self.built,
            forbidden=self.forbidden,
            name=self.name,
            builder=self.builder,
        )

    def _selection_changed(self) -> None:
        """Called after `out_indices` was set."""


def select_built(
    out_indices: int | Sequence[int],
    levels: Sequence[Level],
    *,
    built: int,
    forbidden: frozenset[int],
    name: str,
    builder: str,
) -> tuple[int, ...]:
    """Sorted, unique positions among the first `built` stages of an architecture.

    `name`: the architecture's; `builder`: the start of the call that builds it, for the message that names the fix.

    Raises ContractError for what `normalise_indices` refuses, for a stage that exists by name only, and for one that
    was cut off when the backbone was built.
    """
    names = [level.name for level in levels]
    positions = normalise_indices(out_indices, names)
    missing = [position for position in positions if position in forbidden]
    if missing:
        raise ContractError(f"{name} has no map at {missing[0]} ({names[missing[0]]}); leave it out of out_indices.")
    cut = [position for position in positions if position >= built]
    if cut:
        raise ContractError(
            f"out_indices {list(positions)}: {names[cut[0]]} of {name} was not built, only the stages up to"
            f" {built - 1} ({names[built - 1]}) were. Build it again with it:"
            f" {builder}, out_indices={list(positions)}), or in a recipe"
            f" backbone.out_indices={list(positions)}."
        )
    return positions


def check_channels(pixel_values: Tensor, in_channels: int, name: str) -> None:
    """Raises ContractError where the images are no float tensor [batch, channels, height, width], or have another
    number of channels."""
    check_pixel_values(pixel_values)
    if pixel_values.ndim != 4 or pixel_values.shape[1] != in_channels:
        raise ContractError(
            f"{name} takes [batch, {in_channels}, height, width], got {list(pixel_values.shape)}. For another number of"
            " channels build it with backbone.in_channels."
        )
