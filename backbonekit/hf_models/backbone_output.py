"""What a backbone of the Hugging Face face returns."""

from dataclasses import dataclass

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


@register_output
@dataclass(eq=False)
class BackboneOutput(FieldMapping):
    """`feature_maps`: one for each of `out_indices`, fine to coarse, each [batch, channels, height, width].

    `hidden_states`, with `output_hidden_states=True`: what the stem and every stage leave behind, before any
    normalisation of maps, in the layout of transformers: [batch, channels, height, width] for convolutional families,
    `swin`, `pvt_v2`, `vitdet` and timm, [batch, tokens, channels] for the others, class token and registers first,
    Hiera's in the order in which its units attend. Stages behind the deepest one that was built are not among them:
    build with the last stage among `out_indices` to get all.

    `attentions`, with `output_attentions=True`: [batch, heads, queries, keys], rows of sum 1, one for each block of a
    plain ViT and one for each stage, its last block's, of `swin`, `maskformer-swin`, `swinv2` and `hiera`. Attention in
    windows has windows instead of images, [batch * windows, ...], or, in `hiera`, [batch, heads, units, queries,
    keys]. None for the families for which transformers gives none: the convolutional ones and `pvt_v2`.
    """

    feature_maps: tuple[Tensor, ...]
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
