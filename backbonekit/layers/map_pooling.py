"""Pooling of a feature map to one vector; padding is excluded."""

from jaxtyping import Bool, Float
from timm.layers import AttentionPoolLatent
from torch import Tensor, nn


def masked_average(
    maps: Float[Tensor, "batch channels height width"], mask: Bool[Tensor, "batch height width"] | None
) -> Float[Tensor, "batch channels"]:
    """The mean over the positions where `mask` is True; over all without a mask; zeros where no position is."""
    if mask is None:
        return maps.mean(dim=(-2, -1))
    weight = mask[:, None].to(maps.dtype)
    # Filled, not multiplied: values in the padding may be infinite.
    total = maps.masked_fill(~mask[:, None], 0).sum(dim=(-2, -1))
    return total / weight.sum(dim=(-2, -1)).clamp(min=1)


class AttentionPooling(nn.Module):
    """A learned query attends to every position; a residual feedforward layer follows. Keeps the width.

    `num_heads` divides `channels`.

    Source: Lee et al., "Set Transformer", 2019, section 3.2 (pooling by multihead attention);
    timm/layers/attention_pool.py: AttentionPoolLatent.
    """

    def __init__(self, channels: int, *, num_heads: int = 8) -> None:
        super().__init__()
        self.pool = AttentionPoolLatent(channels, num_heads=num_heads, norm_layer=nn.LayerNorm)

    def forward(
        self, maps: Float[Tensor, "batch channels height width"], mask: Bool[Tensor, "batch height width"] | None
    ) -> Float[Tensor, "batch channels"]:
        # tokens: [batch, height * width, channels]
        tokens = maps.flatten(2).transpose(1, 2)
        # attended: [batch, head, query, position]; every image has its top left position, so no row is empty
        attended = None if mask is None else mask.flatten(1)[:, None, None]
        return self.pool(tokens, attn_mask=attended)
