"""The transformer decoder over one feature map that DETR and MaskFormer share.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.2 and appendix A.3;
github.com/facebookresearch/detr, models/transformer.py.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.layers.attention import keys_to_look_at
from backbonekit.layers.sine_positions import SinePositions


def decode_queries(
    layers: Iterable[nn.Module],
    query_positions: Float[Tensor, "queries channels"],
    features: Float[Tensor, "batch channels height width"],
    canvas: Canvas,
    *,
    positions: SinePositions,
    norm_between: nn.Module | None = None,
) -> list[Float[Tensor, "batch queries channels"]]:
    """Returns the queries before the first layer, where they are zero, and after each layer. Padding is not attended to
    where the canvas has a mask.

    `layers`: of `TransformerDecoderLayer`. `query_positions`: learned position embeddings, the only difference between
    queries. `norm_between`: a norm after every layer.
    """
    mask = canvas.mask_at(features.shape[-2], features.shape[-1])
    # [batch, channels, height, width] -> [batch, positions, channels]
    memory = features.flatten(2).transpose(1, 2)
    memory_positions = positions(features, mask).flatten(2).transpose(1, 2)
    memory_mask = keys_to_look_at(mask)
    query_embeddings = query_positions[None]
    states = [torch.zeros_like(query_embeddings).expand(features.shape[0], -1, -1)]
    for layer in layers:
        state = layer(
            states[-1],
            memory,
            query_positions=query_embeddings,
            memory_positions=memory_positions,
            memory_mask=memory_mask,
        )
        states.append(state if norm_between is None else norm_between(state))
    return states
