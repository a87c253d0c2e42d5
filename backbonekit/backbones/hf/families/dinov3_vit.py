"""DINOv3's ViT, as transformers' `dinov3_vit` checkpoints have it: rotary position embeddings, registers, a final norm.

The embeddings depend on the coordinates of the patches, so an image may have any size; in training the coordinates are
rescaled at random by up to `pos_embed_rescale`. Stochastic depth has one rate for all blocks.

Source: "DINOv3", https://arxiv.org/abs/2508.10104; transformers/models/dinov3_vit/modeling_dinov3_vit.py;
timm/models/eva.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from timm.layers import DropPath
from timm.models.eva import Eva
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, sides
from backbonekit.backbones.hf.plain_transformer import (
    block_attentions,
    block_levels,
    block_stage,
    block_units,
    patch_tokens,
)
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename, Rule

_REGISTERS = "embeddings.register_tokens"


@dataclass(kw_only=True)
class DINOv3ViTArchitecture(ArchitectureConfig):
    """`use_gated_mlp`: gated feed-forward. `apply_layernorm`: the final norm on every map, not on the last one alone.
    `num_register_tokens`: register tokens, returned in `prefix_tokens` after the class token.
    `pos_embed_shift`, `pos_embed_jitter`, `pos_embed_rescale`: how far coordinates are shifted or scaled in training.

    `reshape_hidden_states` and `return_class_token` change nothing here: maps are always [batch, channels, height,
    width], and the class token is returned in `prefix_tokens`.
    """

    model_type: ClassVar[str] = "dinov3_vit"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {"attention_dropout": (ATTENTION,)}
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range", "return_class_token"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layerscale_value", "apply_layernorm"}
        | {"reshape_hidden_states", "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset(
        {"drop_path_rate", "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"}
    )

    patch_size: Square = 16
    hidden_size: Channels = 384
    intermediate_size: Channels = 1536
    num_hidden_layers: Annotated[int, Range(1, 200)] = 12
    num_attention_heads: Heads = 6
    hidden_act: str = "gelu"
    attention_dropout: Probability = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-5
    rope_theta: Annotated[float, Range(1.0, 1e9)] = 100.0
    image_size: Square = 224
    num_channels: Channels = 3
    query_bias: bool = True
    key_bias: bool = False
    value_bias: bool = True
    proj_bias: bool = True
    mlp_bias: bool = True
    layerscale_value: Annotated[float, Range(0.0, 1e3)] = 1.0
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    use_gated_mlp: bool = False
    num_register_tokens: Annotated[int, Range(0, 1_024)] = 0
    pos_embed_shift: Annotated[float, Range(0.0, 1e3)] | None = None
    pos_embed_jitter: Annotated[float, Range(1.0, 1e3)] | None = None
    pos_embed_rescale: Annotated[float, Range(1.0, 1e3)] | None = 2.0
    apply_layernorm: bool = True
    reshape_hidden_states: bool = True

    def _supported(self) -> list[str]:
        faults = self._refusals({"hidden_act": tuple(ACTIVATIONS)})
        height, width = sides(self.patch_size)
        if height != width:
            faults.append(f"dinov3_vit config: patch_size must be a square, got {height} x {width}.")
        if self.hidden_size % (4 * self.num_attention_heads):
            faults.append(
                f"dinov3_vit config: hidden_size={self.hidden_size} must be a multiple of 4 * num_attention_heads ="
                f" {4 * self.num_attention_heads}, for two coordinates to rotate pairs of channels."
            )
        biases = (self.query_bias, self.key_bias, self.value_bias)
        if biases not in ((True, False, True), (True, True, True), (False, False, False)):
            faults.append(
                "dinov3_vit config: query_bias={}, key_bias={}, value_bias={} is not supported, only all, none, or all"
                " but key_bias. Use source: transformers for it.".format(*biases)
            )
        return faults


def frequencies(head_channels: int, theta: float) -> Tensor:
    """The rotary frequencies [head_channels / 4] of pairs of channels, from 1 down to about 1 / `theta`."""
    return 1 / theta ** torch.arange(0, 1, 4 / head_channels, dtype=torch.float32)


def patch_centers(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Row and column of every patch [height * width, 2], from -1 to 1 between the image's borders."""
    rows, columns = (torch.arange(0.5, length, dtype=torch.float32, device=device) / length for length in grid)
    coordinates = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    return 2.0 * coordinates.flatten(0, 1) - 1.0


def augmented(coordinates: Tensor, *, shift: float | None, jitter: float | None, rescale: float | None) -> Tensor:
    """Coordinates augmented for training: shifted by up to `shift`, each axis scaled by a factor between 1 / `jitter`
    and `jitter`, both axes together by one between 1 / `rescale` and `rescale`."""
    if shift is not None:
        coordinates = coordinates + coordinates.new_empty((1, 2)).uniform_(-shift, shift)
    if jitter is not None:
        bound = math.log(jitter)
        coordinates = coordinates * coordinates.new_empty((1, 2)).uniform_(-bound, bound).exp()
    if rescale is not None:
        bound = math.log(rescale)
        coordinates = coordinates * coordinates.new_empty(1).uniform_(-bound, bound).exp()
    return coordinates


def rotary_embedding(coordinates: Tensor, turns: Tensor, dtype: torch.dtype) -> Tensor:
    """The rotary embedding [height * width, 2 * head_channels]: sines, then cosines, each repeated for both halves of
    the channels.

    `turns`: the result of `frequencies`.
    """
    # [positions, 2, channels / 4] -> [positions, channels / 2] -> [positions, channels]
    angles = (2 * math.pi * coordinates[:, :, None] * turns).flatten(1).tile(2)
    return torch.cat((angles.sin(), angles.cos()), dim=-1).to(dtype)


def _levels(config: DINOv3ViTArchitecture) -> tuple[Level, ...]:
    return block_levels(config, sides(config.patch_size)[0], prefix_tokens=1 + config.num_register_tokens)


def _construct_body(config: DINOv3ViTArchitecture, plan: BodyPlan) -> nn.Module:
    body = Eva(
        img_size=sides(config.image_size),
        patch_size=sides(config.patch_size),  # type: ignore[arg-type]
        in_chans=plan.in_channels,
        num_classes=0,
        global_pool="",
        embed_dim=config.hidden_size,
        depth=plan.last,
        num_heads=config.num_attention_heads,
        qkv_bias=config.query_bias and not config.key_bias,
        # Half a unit more, because timm rounds the product down.
        mlp_ratio=(config.intermediate_size + 0.5) / config.hidden_size,
        swiglu_mlp=config.use_gated_mlp,
        swiglu_align_to=1,  # no rounding of the width, and two separate matrices
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),  # type: ignore[arg-type]
        init_values=config.layerscale_value,
        num_reg_tokens=config.num_register_tokens,
        use_abs_pos_emb=False,
        rope_rotate_half=True,
    )
    for block in body.blocks:
        _complete(block, config)
    turns = frequencies(config.hidden_size // config.num_attention_heads, config.rope_theta)
    body.register_buffer("turns", turns, persistent=False)
    body.coordinate_augmentation = {  # type: ignore[assignment]
        "shift": config.pos_embed_shift,
        "jitter": config.pos_embed_jitter,
        "rescale": config.pos_embed_rescale,
    }
    if not plan.final_norm:
        body.norm = nn.Identity()
    return body


def _complete(block: Any, config: DINOv3ViTArchitecture) -> None:
    """Sets what timm's constructor has no argument for."""
    attention, feed_forward = block.attn, block.mlp
    if config.key_bias:
        attention.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
    if not config.proj_bias:
        attention.proj.register_parameter("bias", None)
    if not config.mlp_bias:
        for layer in feed_forward.children():
            if isinstance(layer, nn.Linear):
                layer.register_parameter("bias", None)
    feed_forward.act = ACTIVATIONS[config.hidden_act]()
    if config.drop_path_rate > 0:
        block.drop_path1, block.drop_path2 = (DropPath(config.drop_path_rate) for _ in range(2))


def _embed(body: Eva, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, 1 + registers + height * width, channels]. Pixels after the last whole patch are dropped."""
    x, grid = patch_tokens(body, pixel_values)
    tokens = [body.cls_token, *([] if body.reg_token is None else [body.reg_token])]
    return torch.cat([*(token.expand(x.shape[0], -1, -1) for token in tokens), x], dim=1), grid  # type: ignore


def _rotary_embedding(body: Eva, x: Tensor, grid: tuple[int, int]) -> tuple[Any, ...]:
    coordinates = patch_centers(grid, x.device)
    if body.training:
        coordinates = augmented(coordinates, **body.coordinate_augmentation)  # type: ignore[arg-type]
    return (rotary_embedding(coordinates, body.turns, x.dtype),)  # type: ignore[arg-type]


def _key_map(config: DINOv3ViTArchitecture) -> KeyMap:
    block, ours = "layer.{i}", "body.blocks.{i}"
    queries, keys, values = (f"{block}.attention.{name}_proj" for name in "qkv")
    rules: list[Rule] = [
        Rename("embeddings.cls_token", "body.cls_token"),
        Rename("embeddings.patch_embeddings", "body.patch_embed.proj"),
        Rename(f"{block}.norm1", f"{ours}.norm1"),
        Rename(f"{block}.norm2", f"{ours}.norm2"),
        Join([f"{part}.weight" for part in (queries, keys, values)], f"{ours}.attn.qkv.weight"),
        Rename(f"{block}.attention.o_proj", f"{ours}.attn.proj"),
        Rename(f"{block}.layer_scale1.lambda1", f"{ours}.gamma_1"),
        Rename(f"{block}.layer_scale2.lambda1", f"{ours}.gamma_2"),
        Rename(f"{block}.mlp.down_proj", f"{ours}.mlp.fc2"),
        Rename("norm", "body.norm"),
    ]
    if config.key_bias:
        rules.append(Join([f"{part}.bias" for part in (queries, keys, values)], f"{ours}.attn.qkv.bias"))
    else:
        rules += [Rename(f"{queries}.bias", f"{ours}.attn.q_bias"), Rename(f"{values}.bias", f"{ours}.attn.v_bias")]
    if config.use_gated_mlp:
        rules.append(Rename(f"{block}.mlp.gate_proj", f"{ours}.mlp.fc1_g"))
        rules.append(Rename(f"{block}.mlp.up_proj", f"{ours}.mlp.fc1_x"))
    else:
        rules.append(Rename(f"{block}.mlp.up_proj", f"{ours}.mlp.fc1"))
    if config.num_register_tokens:
        rules.append(Rename(_REGISTERS, "body.reg_token"))
    # Without registers transformers stores an empty tensor.
    drop = ["embeddings.mask_token", *([] if config.num_register_tokens else [_REGISTERS])]
    return KeyMap(rules, drop=drop, prefixes=["model"])


FAMILY = Family(
    config_class=DINOv3ViTArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=block_units,
    layout="tokens",
    key_map=_key_map,
    stage_of=block_stage,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "final" if config.apply_layernorm else "last",
    final_norm="every",
    processing=Processing(size=(224, 224), interpolation="bilinear"),
    canvas=lambda config: sides(config.image_size),
    extra_inputs=_rotary_embedding,
    attentions=block_attentions,
)
