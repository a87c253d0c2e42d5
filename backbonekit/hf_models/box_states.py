"""Hidden states and attention of a detector's encoder and decoder, under transformers' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.predictions import ModelOutput
from backbonekit.heads.d_fine.head import DFINEHead
from backbonekit.heads.deformable_detr.head import DeformableDETRHead
from backbonekit.heads.detr.head import DETRHead
from backbonekit.heads.rt_detr.head import RTDETRHead
from backbonekit.hf_models.recorded_calls import Calls
from backbonekit.layers.deformable_attention import DeformableAttention
from backbonekit.necks.deformable_encoder import DeformableEncoderNeck
from backbonekit.necks.hybrid_encoder import HybridEncoder
from backbonekit.necks.transformer_encoder import TransformerEncoder
from backbonekit.ops.levels import flatten_levels

# Their attention weights have an axis for levels; in the others each level may have another number of points.
_WITH_LEVELS = ("deformable_detr", "rt_detr")


@dataclass(frozen=True)
class BoxStates:
    """Where a detector keeps its states.

    `encoder`: the last neck. `encoder_layers`, `decoder_layers`: in the order in which they run. `final`: the module
    that returns the decoder's last hidden state. `with_levels`: whether the weights of deformable attention have an
    axis for levels.
    """

    encoder: nn.Module
    encoder_layers: Sequence[Any]
    decoder_layers: Sequence[Any]
    final: nn.Module
    with_levels: bool

    @classmethod
    def of(cls, model: ComposedModel, model_type: str) -> "BoxStates | None":
        """None where the encoder or the decoder is another one, or is wrapped."""
        necks, head = list(model.neck.children()), model.head
        encoder = necks[-1] if necks else None
        if isinstance(encoder, DeformableEncoderNeck):
            layers: Any = encoder.encoder.layers
        elif isinstance(encoder, TransformerEncoder | HybridEncoder):
            layers = encoder.layers
        else:
            return None
        if not isinstance(head, DETRHead | DeformableDETRHead | RTDETRHead | DFINEHead):
            return None
        final = head.norm if isinstance(head, DETRHead) else head.layers[-1]  # others have at least one layer
        return cls(encoder, list(layers), list(head.layers), final, model_type in _WITH_LEVELS)

    def watched(self, *, states: bool) -> list[nn.Module]:
        """The modules whose calls are read."""
        layers = [*self.encoder_layers, *self.decoder_layers] if states else self.encoder_layers[-1:]
        return list(dict.fromkeys((self.encoder, self.final, *layers)))

    def weighing(self) -> list[nn.Module]:
        """The attention modules, in the order in which they run."""
        decoder = [(layer.self_attention, layer.cross_attention) for layer in self.decoder_layers]
        return [
            *(layer.self_attention for layer in self.encoder_layers),
            *(attention for pair in decoder for attention in pair),
        ]

    def fields(
        self, out: ModelOutput, calls: Calls, weights: Sequence[Tensor] | None, *, states: bool
    ) -> Mapping[str, Any]:
        """Fields of the output by name. `weights`: those of `weighing`, or None."""
        encoded = calls[self.encoder][-1].returned.maps
        last = calls[self.final][-1].returned
        found: dict[str, Any] = {
            "last_hidden_state": last,
            "encoder_last_hidden_state": self._encoded(calls, encoded),
        }
        if states:
            before = [calls[layer][-1].given for layer in self.decoder_layers[:1]]
            between = [calls[layer][-1].returned for layer in self.decoder_layers[:-1]]
            found["decoder_hidden_states"] = (*before, *between, last) if before else ()
            found["encoder_hidden_states"] = self._encoder_states(calls, encoded)
        if weights is not None:
            shaped = [self._by_level(*pair) for pair in zip(self.weighing(), weights, strict=True)]
            count = len(self.encoder_layers)
            found["encoder_attentions"] = tuple(shaped[:count])
            found["decoder_attentions"] = tuple(shaped[count::2])
            found["cross_attentions"] = tuple(shaped[count + 1 :: 2])
        return found

    def _encoded(self, calls: Calls, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
        """The maps of a pyramid, of other encoders the sequence [batch, positions, channels]."""
        if isinstance(self.encoder, HybridEncoder):
            return maps
        if self.encoder_layers:
            return calls[self.encoder_layers[-1]][-1].returned
        return flatten_levels(maps[-1:] if isinstance(self.encoder, TransformerEncoder) else maps)[0]

    def _encoder_states(self, calls: Calls, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Before the first layer and after each. RT-DETR's transformer counts as one layer, whatever its depth, and its
        states are maps."""
        if not self.encoder_layers:
            return ()
        first = calls[self.encoder_layers[0]][-1].given
        after = [calls[layer][-1].returned for layer in self.encoder_layers]
        if not isinstance(self.encoder, HybridEncoder):
            return (first, *after)
        # [batch, positions, channels] -> [batch, channels, height, width]
        return tuple(state.transpose(1, 2).unflatten(2, maps[-1].shape[-2:]) for state in (first, after[-1]))

    def _by_level(self, attention: nn.Module, weights: Tensor) -> Tensor:
        if not (self.with_levels and isinstance(attention, DeformableAttention)):
            return weights
        # [batch, queries, heads, points of all levels] -> [batch, queries, heads, levels, points]
        return weights.unflatten(-1, (len(attention.num_points), -1))
