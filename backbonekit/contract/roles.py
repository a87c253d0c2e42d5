"""The roles of parts: their attributes and methods. A part is final and subclasses nothing but `nn.Module`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.image_sizes import ImageSizes
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import Prediction, Scoring
from backbonekit.contract.processing import Processing
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import ContractError


@dataclass(frozen=True, slots=True)
class ParameterOrder:
    """Where each parameter and buffer of a backbone is used, counted from the input; the stem has 0.

    `positions`: stage or layer by name. `count`: the number of stages or layers, the stem included.
    """

    positions: Mapping[str, int]
    count: int


@runtime_checkable
class Backbone(Protocol):
    """A built backbone: images to feature maps.

    `features`: the levels that it returns now. `stage_names`: every stage of the architecture; `out_indices`: the
    positions of the returned ones among them. `in_channels`: channels of the images.
    """

    features: FeaturePyramid
    stage_names: tuple[str, ...]
    out_indices: tuple[int, ...]
    in_channels: int

    def __call__(self, pixel_values: Tensor) -> FeatureMaps: ...

    def maps_at(self, pixel_values: Tensor, indices: Sequence[int]) -> FeatureMaps:
        """The maps of other stages than `out_indices`, among those that were built."""
        ...

    def parameter_stages(self) -> ParameterOrder:
        """A stage is what the architecture calls so; of a plain transformer, each block. What is used behind all stages
        belongs to the last one."""
        ...

    def parameter_layers(self) -> ParameterOrder:
        """A layer is a block. What is used behind all blocks, such as norms of the maps, has the number of layers."""
        ...

    def no_weight_decay(self) -> frozenset[str]:
        """Patterns of the names of parameters that the architecture's authors do not decay."""
        ...

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recomputes each block in the backward pass. Raises ContractError where the architecture cannot."""
        ...


@runtime_checkable
class NormalisesVectors(Protocol):
    """A backbone whose architecture may normalise the vector that its last map is pooled to."""

    def after_pooling(self, vectors: Tensor, index: int) -> Tensor:
        """Vectors [batch, channels] that the map at `index` of all stages was pooled to, normalised where the
        architecture does so and the backbone was built with that norm; else unchanged."""
        ...


def backbone_of(model: Any) -> Any:
    """The `Backbone` of a model that has one as `model.backbone`, or `model` where it is one itself.

    Raises ContractError for anything else.
    """
    try:
        found = model.backbone
    except AttributeError:
        found = model
    if not isinstance(found, Backbone):
        raise ContractError(
            f"{type(found).__name__} is no backbone of backbonekit: a backbone or a model with one is expected, as"
            " build_model returns it, before torch.compile or DistributedDataParallel wraps it."
        )
    return found


class Blueprint(Protocol):
    """A backbone before it is constructed: all that wiring reads. No weight is read for it.

    `levels`: every map the architecture can return, in its source's numbering (position = index).
    `forbidden`: indices that have a name but no map. `default_indices`: used where the recipe selects none.
    `config`: the architecture as plain data, for the saved recipe; None when `name` is enough.
    `processing`: what its pretrained weights expect.
    `canvas`: (height, width) that noise should have to run it.
    `notes`: what reading its configuration decided, such as words that were ignored. `described_as`: what a saved
    recipe says instead of the name of a folder or repository that described the architecture, if anything.
    """

    source: str
    name: str
    levels: tuple[Level, ...]
    forbidden: frozenset[int]
    default_indices: tuple[int, ...]
    config: Mapping[str, Any] | None
    processing: Processing
    canvas: tuple[int, int]
    notes: tuple[str, ...]
    described_as: Mapping[str, Any]

    def construct(self, out_indices: Sequence[int]) -> Backbone:
        """The module, cut after the largest index, on whatever device context is active."""
        ...

    def num_bytes(self, out_indices: Sequence[int]) -> int:
        """The memory that `construct` takes, counted on the meta device."""
        ...

    def checkpoint(self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None) -> Any:
        """The weights under the constructed module's own names: a `weights.checkpoint.Checkpoint`.

        `out_indices`: those that `construct` is given, so that weights of stages not built are left out; None: all.
        """
        ...

    def image_sizes(self, out_indices: Sequence[int]) -> ImageSizes:
        """Which images it takes, cut after the largest index."""
        ...

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        """A tensor made to fit (stem of other channels, positions of another size) and how it was made, or None."""
        ...


class Neck(Protocol):
    """Maps to maps. Options are keyword-only: the signature is the schema."""

    features: FeaturePyramid

    @classmethod
    def needs(cls, wanted: Requirement | None, **options: Any) -> Requirement: ...

    def __call__(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps: ...


class Head(Protocol):
    """Maps to a prediction. `criterion`: the registry name of its default loss, or None where it has losses of its
    own; it then declares `reads` as a criterion does."""

    criterion: ClassVar[str | None]
    scoring: ClassVar[Scoring]

    @classmethod
    def needs(cls, wanted: None, **options: Any) -> Requirement: ...

    def __call__(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> Prediction: ...


class Criterion(Protocol):
    """A prediction and targets to named, weighted, scalar losses. Where targets lack a key, its losses are zeros that
    depend on the prediction, so that every parameter has a gradient. `reads`: the keys that it learns from."""

    reads: ClassVar[Reads]

    def __call__(self, prediction: Prediction, targets: Targets, canvas: Canvas) -> dict[str, Tensor]: ...


def reads_of(part: Any) -> Reads:
    """The target keys that a criterion, or a head with losses of its own, declares. Raises ContractError without."""
    try:
        return part.reads
    except AttributeError:
        raise ContractError(
            f"{type(part).__name__} does not declare the target keys that it reads. The fix, in its class: "
            'reads = (("boxes", "labels"),), the alternatives it learns from, each with all its keys.'
        ) from None
