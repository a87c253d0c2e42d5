"""timm's attention in windows with cosines as scores, finite in float16 too.

Queries and keys are divided by their lengths. A token of the padding has a key of zeros, since keys have no bias, and
in float16 the smallest length that is divided by, 1e-12, is itself zero: 0 / 0. Here lengths are computed in float32.
In other types timm's own code runs.

Source: Liu et al., "Swin Transformer V2" (2022), section 3.3; timm/models/swin_transformer_v2.py, WindowAttention;
timm/models/swin_transformer_v2_cr.py, WindowMultiHeadAttention.
"""

import math

import torch
import torch.nn.functional as functional
from timm.models.swin_transformer_v2 import WindowAttention
from timm.models.swin_transformer_v2_cr import WindowMultiHeadAttention
from torch import Tensor, nn

_LARGEST_SCALE = math.log(100.0)  # of the scores, a logarithm


def finite_in_float16(body: nn.Module) -> nn.Module:
    """The same timm model, whose attention of these two kinds is finite in float16. Weights and their names stay."""
    for module in body.modules():
        if type(module) is WindowAttention:
            module.__class__ = CosineWindowAttention
        elif type(module) is WindowMultiHeadAttention:
            module.__class__ = CosineWindowAttentionCr
    return body


class CosineWindowAttention(WindowAttention):
    """Of Swin Transformer V2."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x`: [windows, tokens, channels]. `mask`: [windows of an image, tokens, tokens], added to the scores."""
        if not _computes_in_float16(x):
            return super().forward(x, mask)
        bias = None if self.q_bias is None else torch.cat((self.q_bias, self.k_bias, self.v_bias))  # type: ignore[arg-type]
        queries, keys, values = _split(functional.linear(x, self.qkv.weight, bias), self.num_heads)
        scores = _cosines(queries, keys) * self.logit_scale.clamp(max=_LARGEST_SCALE).exp() + self._position_scores()
        weights = self.attn_drop(self.softmax(_masked(scores, mask)))
        return self.proj_drop(self.proj((weights @ values).transpose(1, 2).flatten(2)))

    def _position_scores(self) -> Tensor:
        """[heads, tokens, tokens]."""
        tokens = self.window_size[0] * self.window_size[1]
        # by_distance: [distances, heads]
        by_distance = self.cpb_mlp(self.relative_coords_table).flatten(0, 2)
        return 16 * by_distance[self.relative_position_index.flatten()].sigmoid().T.unflatten(1, (tokens, tokens))  # type: ignore[operator]


class CosineWindowAttentionCr(WindowMultiHeadAttention):
    """Of timm's other Swin Transformer V2, by Christoph Reich."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x`: [windows, tokens, channels]. `mask`: [windows of an image, tokens, tokens], added to the scores."""
        if not _computes_in_float16(x):
            return super().forward(x, mask)
        queries, keys, values = _split(self.qkv(x), self.num_heads)
        scale = self.logit_scale.clamp(max=_LARGEST_SCALE).exp()[:, None, None]
        scores = _cosines(queries, keys) * scale + self._relative_positional_encodings()
        weights = self.attn_drop(_masked(scores, mask).softmax(dim=-1))
        return self.proj_drop(self.proj((weights @ values).transpose(1, 2).flatten(2)))


def _computes_in_float16(x: Tensor) -> bool:
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind) is torch.float16
    return x.dtype is torch.float16


def _split(joined: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[windows, tokens, 3 x channels] -> queries, keys, values, each [windows, heads, tokens, channels of a head]."""
    queries, keys, values = joined.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return queries, keys, values


def _cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """[windows, heads, tokens, tokens]; 0 for a vector of zeros."""
    first, second = (functional.normalize(each.float(), dim=-1).to(each.dtype) for each in (queries, keys))
    return first @ second.transpose(-2, -1)


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores
    # [images, windows of an image, heads, tokens, tokens]
    return (scores.unflatten(0, (-1, mask.shape[0])) + mask[:, None]).flatten(0, 1)
