"""What training asks of a model, beyond `contract/roles.py`."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from backbonekit.contract.maps import FeatureMaps


@runtime_checkable
class HasBackbone(Protocol):
    """A composed model: what is not under `backbone` stands on it."""

    backbone: nn.Module


@runtime_checkable
class HasBody(Protocol):
    """A backbone that holds the timm model it runs."""

    body: nn.Module


@runtime_checkable
class TakesImages(Protocol):
    """A backbone whose forward takes images of so many channels and nothing else."""

    in_channels: int


@runtime_checkable
class GivesAnyMap(Protocol):
    """A backbone that gives the maps of any positions among the `built` first ones."""

    built: int

    def maps_at(self, pixel_values: Tensor, indices: Sequence[int]) -> FeatureMaps: ...


@runtime_checkable
class KnowsStages(Protocol):
    """A backbone with a numbering of its own. `stage_of(name)`: 0 for the stem, N for the Nth stage."""

    def stage_of(self, name: str) -> int: ...


@runtime_checkable
class KnowsLayers(Protocol):
    """A timm model that says in which order its weights are used: patterns of their names, by stage or by block."""

    def group_matcher(self, coarse: bool = False) -> object: ...


@runtime_checkable
class PublishesMaps(Protocol):
    """A timm model that lists its maps, fine to coarse; `module` of each is the name of the module that gives it."""

    feature_info: list[dict[str, Any]]


@runtime_checkable
class Checkpoints(Protocol):
    """A part that can recompute its blocks in backward."""

    def set_gradient_checkpointing(self, enabled: bool = True) -> None: ...


@runtime_checkable
class TimmCheckpoints(Protocol):
    """The same of a plain timm model."""

    def set_grad_checkpointing(self, enable: bool = True) -> None: ...


@runtime_checkable
class ListsNoDecay(Protocol):
    """A timm model that names weights which must not decay, as patterns."""

    def no_weight_decay(self) -> Iterable[str]: ...


def backbone_of(model: nn.Module) -> nn.Module:
    """The backbone of a composed model; anything else is taken for a backbone itself."""
    return model.backbone if isinstance(model, HasBackbone) else model


def body_of(backbone: nn.Module) -> tuple[str, nn.Module]:
    """The timm model within a backbone and the prefix of its names; the backbone itself where it holds none."""
    # timm's TResNet has a part called body; only a model that is itself no timm model is a holder.
    if isinstance(backbone, HasBody) and not isinstance(backbone, KnowsLayers):
        return "body.", backbone.body
    return "", backbone
