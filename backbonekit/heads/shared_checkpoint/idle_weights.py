"""Weights that transformers' models have and no image goes through, so that ours lack them; and those that only ours
have. Written beside the others, transformers finds nothing missing and nothing unexpected.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from backbonekit.heads.shared_checkpoint.nested_backbone import read_backbone

_COUNTER = ".num_batches_tracked"
_NORM = re.compile(r"(?:^|\.)norms\.(?P<level>\w+)\.(?:weight|bias)$")
_TABLE = "relative_position_bias_table"


def without_unread_norms(state_dict: Mapping[str, Tensor], nested: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our weights without the norms of maps that are not returned: theirs has a norm for each map that it returns, ours
    for each up to the last. `nested`: the `backbone_config`."""
    levels = [level.name for level in read_backbone(nested).levels or ()]
    found = {}
    for name, tensor in state_dict.items():
        match = _NORM.search(name) if name.startswith("backbone.") else None
        if match is None or match["level"] in levels:
            found[name] = tensor
    return found


def without_counters(written: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Without the batch norms' counters of the module `prefix`, whose norms transformers freezes."""
    return {name: one for name, one in written.items() if not (name.startswith(prefix) and name.endswith(_COUNTER))}


def idle_of_backbone(written: Mapping[str, Tensor], nested: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """Of the backbone `nested`, whose other weights are `written` below `prefix`: the norm of a pooled output, the
    token of masked training, the positions of tokens in a window."""
    kind = nested["model_type"]
    own = {name.removeprefix(f"{prefix}."): one for name, one in written.items() if name.startswith(f"{prefix}.")}
    idle: dict[str, Tensor] = {}
    if kind in ("swin", "maskformer-swin"):
        width = nested["embed_dim"] * 2 ** (len(nested["depths"]) - 1)
        start = "model" if kind == "maskformer-swin" else "swin"
        idle |= _plain_norm(f"{start}.layernorm", width)
    if kind == "maskformer-swin":
        idle |= {
            name.replace(_TABLE, "relative_position_index"): _positions_in_window(table)
            for name, table in own.items()
            if name.endswith(_TABLE)
        }
    elif kind == "bit" and nested["layer_type"] != "bottleneck":
        idle |= _plain_norm("bit.norm", nested["hidden_sizes"][-1])
    elif kind == "focalnet":
        idle |= _plain_norm("focalnet.layernorm", nested["embed_dim"] * 2 ** (len(nested["depths"]) - 1))
    elif kind.startswith("dinov2"):
        idle |= {"embeddings.mask_token": torch.zeros(1, nested["hidden_size"])}
        idle |= _plain_norm("layernorm", nested["hidden_size"])
    elif kind == "dinov3_vit":
        idle |= {"embeddings.mask_token": torch.zeros(1, 1, nested["hidden_size"])}
    elif kind == "beit" and nested.get("use_mask_token"):
        idle |= {"beit.embeddings.mask_token": torch.zeros(1, 1, nested["hidden_size"])}
    if nested.get("num_register_tokens") == 0:
        idle |= {"embeddings.register_tokens": torch.zeros(1, 0, nested["hidden_size"])}
    return {f"{prefix}.{name}": one for name, one in idle.items() if name not in own}


def class_weights(num_classes: int, no_object_weight: float) -> dict[str, Tensor]:
    """Of the losses of MaskFormer and Mask2Former: how much each class counts, "no object" last."""
    weights = torch.ones(num_classes + 1)
    weights[-1] = no_object_weight
    return {"criterion.empty_weight": weights}


def point_scales(num_layers: int, points: Sequence[int], name: str) -> dict[str, Tensor]:
    """Of the decoders of RT-DETR v2 and D-FINE: one over the number of points, for each point of each level."""
    scale = torch.tensor([1 / count for count in points for _ in range(count)])
    return {f"model.decoder.layers.{layer}.encoder_attn.{name}": scale.clone() for layer in range(num_layers)}


def _plain_norm(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}


def _positions_in_window(table: Tensor) -> Tensor:
    """For each pair of tokens of a window the row of `table`, [(2 * side - 1) ** 2, heads], that it reads."""
    span = round(table.shape[0] ** 0.5)
    side = (span + 1) // 2
    rows, columns = (axis.flatten() for axis in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
    down = rows[:, None] - rows[None] + side - 1
    right = columns[:, None] - columns[None] + side - 1
    return down * span + right
