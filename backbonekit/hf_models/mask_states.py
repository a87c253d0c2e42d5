"""Hidden states and attention of MaskFormer and Mask2Former, under transformers' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.predictions import ModelOutput
from backbonekit.contract.requirements import MASK_FEATURES
from backbonekit.heads.mask2former.head import Mask2FormerHead
from backbonekit.heads.maskformer.head import MaskFormerHead
from backbonekit.hf_models.recorded_calls import Calls
from backbonekit.necks.deformable_pixel_decoder import DeformablePixelDecoder
from backbonekit.necks.fpn_pixel_decoder import FPNPixelDecoder


@dataclass(frozen=True)
class MaskStates:
    """Where a mask model keeps its states. `pixel_decoder`: the last neck. `head`: the transformer decoder."""

    pixel_decoder: FPNPixelDecoder | DeformablePixelDecoder
    head: MaskFormerHead | Mask2FormerHead

    @classmethod
    def of(cls, model: ComposedModel) -> "MaskStates | None":
        """None where the pixel decoder or the decoder is another one, or is wrapped."""
        necks, head = list(model.neck.children()), model.head
        pixel_decoder = necks[-1] if necks else None
        if not isinstance(pixel_decoder, FPNPixelDecoder | DeformablePixelDecoder):
            return None
        if not isinstance(head, MaskFormerHead | Mask2FormerHead):
            return None
        return cls(pixel_decoder, head)

    @property
    def _layers(self) -> list[Any]:
        return list(self.head.layers)

    def watched(self, *, states: bool) -> list[nn.Module]:
        """The modules whose calls are read."""
        inner: list[nn.Module] = []
        if states:
            pyramid = self.pixel_decoder.outputs if isinstance(self.pixel_decoder, FPNPixelDecoder) else ()
            inner = [*pyramid, *self._layers]
        return list(dict.fromkeys((self.pixel_decoder, self.head.norm, *inner)))

    def weighing(self) -> list[nn.Module]:
        """The self-attention of the decoder's layers."""
        return [layer.self_attention for layer in self._layers]

    def fields(
        self, out: ModelOutput, calls: Calls, weights: Sequence[Tensor] | None, *, states: bool
    ) -> Mapping[str, Any]:
        """Fields of the output by name. `weights`: those of `weighing`, or None."""
        assert out.feature_maps is not None, "a model with a head"
        decoded, last = calls[self.pixel_decoder][-1].returned, self._last(calls)
        found: dict[str, Any] = {
            "encoder_last_hidden_state": out.feature_maps[-1],
            "pixel_decoder_last_hidden_state": decoded.extras[MASK_FEATURES],
            "transformer_decoder_last_hidden_state": last,
        }
        if states:
            pyramid = tuple(reversed(decoded.maps))  # coarse to fine
            if isinstance(self.pixel_decoder, FPNPixelDecoder):
                pyramid = tuple(calls[output][-1].returned for output in reversed(self.pixel_decoder.outputs))
            found["encoder_hidden_states"] = out.feature_maps
            found["pixel_decoder_hidden_states"] = pyramid
            found["transformer_decoder_hidden_states"] = decoder = self._decoder_states(calls, last)
            if isinstance(self.head, MaskFormerHead):
                found["hidden_states"] = (*out.feature_maps, *pyramid, *decoder)
        if weights is not None:
            found["attentions"] = tuple(weights)
        return found

    def _last(self, calls: Calls) -> Tensor:
        """After the norm in MaskFormer, whose norm sees the final state first; before it in Mask2Former, whose norm
        sees it last."""
        normed = calls[self.head.norm]
        return normed[0].returned if isinstance(self.head, MaskFormerHead) else normed[-1].given

    def _decoder_states(self, calls: Calls, last: Tensor) -> tuple[Tensor, ...]:
        """Before the first layer and after each: [batch, queries, channels], of Mask2Former [queries, batch,
        channels]."""
        before = [calls[layer][-1].given for layer in self._layers]
        if isinstance(self.head, Mask2FormerHead):
            return tuple(state.transpose(0, 1) for state in (*before, last))
        return (*before, last) if before else ()
