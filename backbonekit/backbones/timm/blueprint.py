"""The `timm` source: any architecture of timm that returns feature maps, in timm's own numbering."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
from timm.models import get_model_input_config
from torch import Tensor, nn

from backbonekit.backbones.backbone import select_built
from backbonekit.backbones.pretrained import adapt_stem, locate, with_channels
from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.backbones.timm.config import (
    any_size_arguments,
    body_class,
    check_arguments,
    create_body,
    saved_size_arguments,
)
from backbonekit.backbones.timm.image_sizes import size_multiple
from backbonekit.backbones.timm.levels import (
    cut,
    is_slow_on_meta,
    levels_of,
    may_leave_unused_parameters,
    needs_maps_from_tokens,
    takes_any_size,
    unused_parameters,
    with_end,
)
from backbonekit.backbones.timm.names import TimmIdentity, identify, processing_of
from backbonekit.backbones.timm.weights import ConvertedWeights, open_weights, own_names
from backbonekit.contract.image_sizes import ANY_SIZE, ImageSizes
from backbonekit.contract.option_values import shown
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, WeightsError
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.construct import shapes_alone
from backbonekit.weights.repository import Repository


def blueprint(
    name: str | None,
    *,
    config: Mapping[str, Any] | None,
    revision: str | None,
    in_channels: int,
    args: Mapping[str, Any],
) -> "TimmBlueprint":
    """A timm architecture by name, with or without a tag of weights, or a folder or Hub id in timm's format.

    `args`: arguments of the architecture's constructor; and `norm: embedding`, with which the last map is what timm's
    `forward_features` returns, after the architecture's own end, and vectors pooled from it have the norm of
    `forward_head`; `norm: none` is the default. `config` belongs to the `hf` source and must be None. Builds
    the model on the meta device. Raises RecipeError, ContractError, StorageError.
    """
    if config:
        raise RecipeError(
            "backbone.config is for source: hf; the options of a timm architecture stand in backbone.args."
        )
    identity = identify(name, revision)
    body = body_class(identity.architecture)
    keeps_end = _keeps_end(args)
    args = {key: value for key, value in args.items() if key != NORM}
    check_arguments(identity.architecture, body, args)
    saved = saved_arguments(identity)
    check_arguments(identity.architecture, body, saved)
    arguments = {**any_size_arguments(body), **saved_size_arguments(body, identity), **saved, **args}
    return TimmBlueprint(str(name), identity, in_channels, arguments, keeps_end=keeps_end)


def _keeps_end(args: Mapping[str, Any]) -> bool:
    norm = args.get(NORM, "none")
    if norm not in ("none", "embedding"):
        raise RecipeError(f"args.norm of an architecture of timm must be none or embedding, got {shown(norm)}.")
    return norm == "embedding"


NORM = "norm"  # an argument of ours among those of timm's constructors, none of which has this name
_multiples: dict[tuple[str, str, tuple[int, ...]], int] = {}  # architecture, arguments, indices


def saved_arguments(identity: TimmIdentity) -> dict[str, Any]:
    """The constructor's arguments that a folder or repository in timm's format was saved with."""
    return {key: value for key, value in identity.model_args.items() if key not in ("in_chans", "num_classes")}


class TimmBlueprint:
    """A timm backbone before it is constructed: see `contract.roles.Blueprint`."""

    source = "timm"
    config = None
    forbidden: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        identity: TimmIdentity,
        in_channels: int,
        arguments: Mapping[str, Any],
        *,
        keeps_end: bool = False,
    ) -> None:
        self.name = name
        self.identity = identity
        self.in_channels = in_channels
        self.arguments = {key: value for key, value in arguments.items() if value is not None}
        with shapes_alone() as count:
            body = create_body(identity.architecture, in_channels, self.arguments)
        self._num_bytes = count.num_bytes
        self._keeps_end = keeps_end and not needs_maps_from_tokens(body)
        self.levels = with_end(levels_of(body), body) if self._keeps_end else levels_of(body)
        self.default_indices = (len(self.levels) - 1,)
        accepted = get_model_input_config(body)
        self.canvas: tuple[int, int] = tuple(accepted["input_size"][-2:])
        self.fixed_size = None if takes_any_size(body, is_fixed=accepted["fixed_input_size"]) else self.canvas
        self._may_leave_unused = may_leave_unused_parameters(body)
        self._takes_any_size = is_slow_on_meta(body)
        self._changed: dict[str, Any] = {}

    @property
    def described_as(self) -> Mapping[str, Any]:
        if self.identity.repository is None:
            return {}
        return {"source": self.source, "name": self.identity.architecture, "args": saved_arguments(self.identity)}

    @property
    def processing(self) -> Processing:
        # A size that somebody chose counts; else that of the weights, which of one architecture may differ.
        chosen = "img_size" in self.arguments
        size = self.canvas if chosen else self.identity.pretrained.input_size[-2:]
        return with_channels(processing_of(self.identity.pretrained, size), self.in_channels)

    def image_sizes(self, out_indices: Sequence[int]) -> ImageSizes:
        if self.fixed_size is not None:
            return ImageSizes(fixed=self.fixed_size)
        if self._takes_any_size:
            return ANY_SIZE
        # Most models of a process are of a few architectures; a plan lives no longer than its model.
        key = (self.identity.architecture, repr(sorted(self.arguments.items())), tuple(out_indices))
        if key not in _multiples:
            with shapes_alone():
                backbone = self.construct(out_indices)
            strides = [self.levels[index].stride for index in range(max(out_indices) + 1)]
            _multiples[key] = size_multiple(backbone, strides)
        multiple = _multiples[key]
        return ImageSizes(multiple=multiple) if multiple else ImageSizes(fixed=self.canvas)

    def construct(self, out_indices: Sequence[int]) -> TimmBackbone:
        positions = self._positions(out_indices)
        body = create_body(self.identity.architecture, self.in_channels, self.arguments)
        keeps_end = self._has_end(positions)
        cut(body, positions, keeps_end=keeps_end)
        if self._may_leave_unused:
            self._freeze_unused_parameters(body, positions)
        return TimmBackbone(
            body,
            levels=self.levels,
            out_indices=positions,
            in_channels=self.in_channels,
            fixed_size=self.fixed_size,
            canvas=self.canvas,
            name=self.name,
            keeps_end=keeps_end,
        ).eval()

    def num_bytes(self, out_indices: Sequence[int]) -> int:
        return self._num_bytes  # of the whole, which is constructed before it is cut

    def _has_end(self, positions: Sequence[int]) -> bool:
        return self._keeps_end and positions[-1] == len(self.levels) - 1

    def checkpoint(
        self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None
    ) -> Checkpoint:
        stored = own_names(open_weights(self._locate(pretrained, revision), self.identity.pretrained))
        converted = ConvertedWeights(stored, self._whole)
        self._changed = {f"body.{key}": load for key, load in converted.changed.items()}
        positions = self._positions(out_indices or self.default_indices)
        needed = self._names_after(positions)
        whole = set(self._whole.state_dict())
        # timm's own checkpoints contain leftovers of older code; in any other checkpoint an unknown weight is an error.
        is_published = pretrained is True and self.identity.repository is None
        kept = {
            f"body.{key}": entry
            for key, entry in converted.checkpoint.tensors.items()
            if key in needed or not (is_published or key in whole or self._is_classifier(key))
        }
        return converted.checkpoint.replaced(kept)

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        words = []
        if key in self._changed:
            before = tuple(tensor.shape)
            tensor = self._changed[key]()
            words.append(f"resampled by timm from {list(before)} to {list(tensor.shape)}")
        if tuple(tensor.shape) != shape and key in self._stem_names():
            # Some stems fold pixels into channels; what belongs to which image channel is then not known.
            adapted = adapt_stem(tensor, self.in_channels) if shape[1] == self.in_channels else None
            if adapted is not None:
                tensor = adapted[0]
                words.append(adapted[1])
        return (tensor, ", ".join(words)) if words else None

    def _positions(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        return select_built(
            out_indices,
            self.levels,
            built=len(self.levels),
            forbidden=self.forbidden,
            name=self.name,
            builder=f"AutoBackbone.from_pretrained({self.name!r}, use_timm_backbone=True",
        )

    def _freeze_unused_parameters(self, body: nn.Module, positions: tuple[int, ...]) -> None:
        unused = unused_parameters(self.identity.architecture, self.in_channels, self.arguments, positions, self.canvas)
        for name, parameter in body.named_parameters():
            if name in unused:
                parameter.requires_grad_(False)

    def _locate(self, pretrained: bool | str, revision: str | None) -> Repository | Path:
        if pretrained is not True:
            return locate(pretrained, revision, None)
        if self.identity.repository is not None:
            return self.identity.repository
        identifier = self.identity.pretrained.hf_hub_id
        if identifier is None:
            raise WeightsError(
                f"timm has no weights on the Hub for {self.name}. The fix: pretrained=false, pretrained=PATH, or a name"
                " with a tag (backbonekit list lists them)."
            )
        return locate(True, revision, identifier)

    @cached_property
    def _whole(self) -> nn.Module:
        """The model uncut and with its classifier, on the meta device, as checkpoints are made for it."""
        classes = self.identity.pretrained.num_classes
        with shapes_alone():
            return timm.create_model(
                self.identity.architecture,
                in_chans=self.in_channels,
                **({"num_classes": classes} if classes and classes > 0 else {}),
                **self.arguments,
            )

    def _names_after(self, positions: tuple[int, ...]) -> set[str]:
        with shapes_alone():
            body = create_body(self.identity.architecture, self.in_channels, self.arguments)
        cut(body, positions, keeps_end=self._has_end(positions))
        return set(body.state_dict())

    def _is_classifier(self, key: str) -> bool:
        names = self.identity.pretrained.classifier or ()
        names = (names,) if isinstance(names, str) else names
        return any(key.startswith(f"{name}.") for name in names)

    def _stem_names(self) -> frozenset[str]:
        stems = get_model_input_config(self._whole)["first_conv"] or ()
        stems = (stems,) if isinstance(stems, str) else stems
        return frozenset(f"body.{stem}.weight" for stem in stems)
