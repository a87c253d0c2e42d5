"""Hidden states and attention weights of a backbone, taken while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock, get_ident

from torch import Tensor

from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.contract.maps import FeatureMaps
from backbonekit.errors import ContractError
from backbonekit.layers.attention_weights import caught_weights

_RECORDING = RLock()


@dataclass
class InnerStates:
    """`hidden_states`: what the stem and every built stage left behind, `attentions`: the weights, in transformers'
    layout; None where they were not requested, or where the family has none."""

    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


def run_with_states(
    backbone: StagedBackbone | TimmBackbone, pixel_values: Tensor, *, states: bool, attentions: bool
) -> tuple[FeatureMaps, InnerStates]:
    """The maps of `out_indices` and, of the same run, what is requested. Raises ContractError for the attention of a
    backbone of timm."""
    if isinstance(backbone, TimmBackbone):
        return _of_timm(backbone, pixel_values, states, attentions)
    if not (states or attentions):
        return backbone(pixel_values), InnerStates()
    found = backbone.family
    weighed = found.attentions(backbone.body) if attentions and found.attentions is not None else []
    recomputes = backbone.gradient_checkpointing
    # A block that is computed again in backward would be so without anybody who catches its weights.
    backbone.gradient_checkpointing = recomputes and not weighed
    try:
        with caught_weights(weighed) as caught:
            outputs, grid = backbone.stage_outputs(pixel_values, range(backbone.built))
    finally:
        backbone.gradient_checkpointing = recomputes
    hidden_states = tuple(found.hidden_state(backbone.body, x, index) for index, x in outputs.items())
    weights = tuple(found.attention_weights(one, each) for one, each in zip(weighed, caught, strict=True))
    return backbone.maps_of(outputs, grid), InnerStates(
        hidden_states if states else None, weights if attentions and found.attentions is not None else None
    )


def _of_timm(
    backbone: TimmBackbone, pixel_values: Tensor, states: bool, attentions: bool
) -> tuple[FeatureMaps, InnerStates]:
    if attentions:
        raise ContractError(
            "output_attentions: every architecture of timm attends in a way of its own, so the weights are not"
            " given here. The fix: timm.utils.AttentionExtract(model.backbone.body), or a class of a family, such"
            " as Dinov2Backbone."
        )
    if not states:
        return backbone(pixel_values), InnerStates()
    every = backbone.maps_at(pixel_values, range(backbone.built))
    prefixes = every.prefix_tokens
    chosen = FeatureMaps(
        maps=tuple(every.maps[index] for index in backbone.out_indices),
        prefix_tokens=tuple(prefixes[index] for index in backbone.out_indices) if prefixes else (),
    )
    return chosen, InnerStates(every.maps)


@contextmanager
def recorded(backbone: StagedBackbone | TimmBackbone, *, states: bool, attentions: bool) -> Iterator[InnerStates]:
    """Inside, a call of the backbone fills the yielded object too, wherever in a model the backbone stands. Threads
    that share a model record one after the other, and other calls of theirs are left as they are."""
    record, thread = InnerStates(), get_ident()

    def forward(pixel_values: Tensor) -> FeatureMaps:
        if get_ident() != thread:
            return type(backbone).forward(backbone, pixel_values)  # type: ignore[arg-type]
        maps, found = run_with_states(backbone, pixel_values, states=states, attentions=attentions)
        record.hidden_states, record.attentions = found.hidden_states, found.attentions
        return maps

    with _RECORDING:
        backbone.forward = forward  # a module's call looks the method up on the object first
        try:
            yield record
        finally:
            del backbone.forward
