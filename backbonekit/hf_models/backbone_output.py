"""What a backbone of the Hugging Face face returns."""

from dataclasses import dataclass

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


@register_output
@dataclass(eq=False)
class BackboneOutput(FieldMapping):
    """`feature_maps`: one for each of `out_indices`, fine to coarse, each [batch, channels, height, width].

    `hidden_states` and `attentions` are there because transformers' output has them; they stay None.
    """

    feature_maps: tuple[Tensor, ...]
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
