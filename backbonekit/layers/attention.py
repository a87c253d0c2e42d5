"""Multi-head attention with separate projections.

Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.
"""

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Heads, Probability
from backbonekit.errors import ContractError


class MultiHeadAttention(nn.Module):
    """Multi-head scaled dot-product attention with linear projections of queries, keys, values and output.

    `channels`: of queries, keys, values and output. `num_heads`: the number of attention heads; divides `channels`.
    `dropout`: on the weights, in training only.
    """

    def __init__(self, channels: Channels, *, num_heads: Heads = 8, dropout: Probability = 0.0) -> None:
        super().__init__()
        if channels % num_heads:
            divisors = [count for count in (1, 2, 4, 8, 16, 32) if channels % count == 0]
            raise ContractError(
                f"num_heads={num_heads} does not divide channels={channels}; heads that do: "
                f"{', '.join(map(str, divisors))}."
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def forward(
        self,
        queries: Float[Tensor, "batch queries channels"],
        keys: Float[Tensor, "#batch keys channels"],
        values: Float[Tensor, "batch keys channels"],
        mask: Bool[Tensor, "#batch #heads #queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        """`mask`: True where a query may attend; a query without any key would result in NaN, see `keys_to_look_at`."""
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(self.key(keys)),
            self._split(self.value(values)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        # attended: [batch, heads, queries, channels per head]
        return self.output(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        # [batch, tokens, channels] -> [batch, heads, tokens, channels per head]
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def keys_to_look_at(
    mask: Bool[Tensor, "batch height width"] | None,
) -> Bool[Tensor, "batch 1 1 keys"] | None:
    """A padding mask as an attention mask over the flattened map.

    An image that is all padding attends to every position, since a softmax over no keys is NaN.
    """
    if mask is None:
        return None
    flat = mask.flatten(1)
    return (flat | ~flat.any(dim=1, keepdim=True))[:, None, None, :]
