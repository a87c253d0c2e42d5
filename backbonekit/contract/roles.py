"""The roles that parts play. A part is final and subclasses nothing but `nn.Module`; these say what may be asked."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import Prediction, Scoring
from backbonekit.contract.processing import Processing
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets


@runtime_checkable
class Backbone(Protocol):
    """A built backbone: images to feature maps.

    `features`: the levels it gives now. `stage_names`: every stage of the architecture, `out_indices` positions in it.
    """

    features: FeaturePyramid
    stage_names: tuple[str, ...]
    out_indices: tuple[int, ...]

    def __call__(self, pixel_values: Tensor) -> FeatureMaps: ...


class Blueprint(Protocol):
    """A backbone before it exists: everything that wiring asks, and no weight read.

    `levels`: every map the architecture can give, in its dialect's numbering (position = index).
    `forbidden`: positions that exist by name only. `default_indices`: what is given when nobody asks.
    `config`: the architecture as plain data, for the saved recipe; None when `name` says it all.
    `processing`: what its pretrained weights expect.
    `canvas`: (height, width) that noise should have to run it.
    """

    source: str
    name: str
    levels: tuple[Level, ...]
    forbidden: frozenset[int]
    default_indices: tuple[int, ...]
    config: Mapping[str, Any] | None
    processing: Processing
    canvas: tuple[int, int]

    def construct(self, out_indices: Sequence[int]) -> Backbone:
        """The module, cut after the largest index, on whatever device context is active."""
        ...

    def checkpoint(self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None) -> Any:
        """The weights under the constructed module's own names: a `storage.checkpoint.Checkpoint`.

        `out_indices`: those that `construct` is given, so that what was cut off is left out; None: all stages.
        """
        ...

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        """A tensor made to fit (stem of other channels, position table of another size) and a word on how, or None."""
        ...


class Neck(Protocol):
    """Maps to maps. Options are keyword-only: the signature is the schema."""

    features: FeaturePyramid

    @classmethod
    def needs(cls, wanted: Requirement | None, **options: Any) -> Requirement: ...

    def __call__(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps: ...


class Head(Protocol):
    """Maps to a prediction. `criterion`: the registry name of its default loss, or None where it has losses of its
    own."""

    criterion: ClassVar[str | None]
    scoring: ClassVar[Scoring]

    @classmethod
    def needs(cls, wanted: None, **options: Any) -> Requirement: ...

    def __call__(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> Prediction: ...


class Criterion(Protocol):
    """A prediction and the truth to named, weighted, scalar losses. A task whose key is missing gives a zero that keeps
    the graph whole."""

    def __call__(self, prediction: Prediction, targets: Targets, canvas: Canvas) -> dict[str, Tensor]: ...
