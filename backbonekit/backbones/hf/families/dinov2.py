"""DINOv2, as transformers' `dinov2` checkpoints have it: a plain ViT with the final norm on every map.

Position tables are interpolated to the image in every forward pass, and stochastic depth has one rate for all blocks.

Source: "DINOv2: Learning Robust Visual Features without Supervision", https://arxiv.org/abs/2304.07193;
transformers/models/dinov2/modeling_dinov2.py; timm/models/vision_transformer.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from timm.layers import DropPath, Mlp, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION, EMBEDDINGS
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import Square, sides
from backbonekit.backbones.hf.plain_transformer import (
    block_attentions,
    block_levels,
    block_stage,
    block_units,
    interpolated_positions,
    patch_tokens,
    width_faults,
)
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename, Rule


@dataclass(kw_only=True)
class Dinov2Fields(ArchitectureConfig):
    """The fields that the model types of DINOv2 have in common.

    `reshape_hidden_states` changes nothing here: maps are always [batch, channels, height, width], and the class
    and register tokens are returned in `prefix_tokens`.
    """

    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS,),
        "attention_probs_dropout_prob": (ATTENTION,),
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layerscale_value"}
        | {"apply_layernorm", "reshape_hidden_states", "use_mask_token"}
    )
    whole_fields: ClassVar[frozenset[str]] = frozenset({"mlp_ratio"})
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    hidden_size: Channels = 768
    num_hidden_layers: Annotated[int, Range(1, 200)] = 12
    num_attention_heads: Heads = 12
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-6
    image_size: Square = 224
    patch_size: Square = 14
    num_channels: Channels = 3
    qkv_bias: bool = True
    layerscale_value: Annotated[float, Range(1e-12, 1e3)] = 1.0
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    use_swiglu_ffn: bool = False
    apply_layernorm: bool = True
    reshape_hidden_states: bool = True

    def _supported(self) -> list[str]:
        faults: list[str] = []
        if not self.use_swiglu_ffn:
            faults += self._refusals({"hidden_act": ("gelu",)})
        for field in ("image_size", "patch_size"):
            height, width = sides(getattr(self, field))
            if height != width:
                faults.append(f"{self.model_type} config: {field} must be a square, got {height} x {width}.")
        faults += width_faults(self)
        if max(sides(self.patch_size)) > max(sides(self.image_size)):
            faults.append(
                f"{self.model_type} config: patch_size={self.patch_size} is larger than image_size={self.image_size}."
            )
        return faults


@dataclass(kw_only=True)
class Dinov2Architecture(Dinov2Fields):
    """`use_swiglu_ffn`: gated feed-forward of two thirds the width. `apply_layernorm`: the final norm on every map.
    `use_mask_token`: whether transformers keeps a token for masked training, which the maps do not use.
    """

    model_type: ClassVar[str] = "dinov2"

    use_mask_token: bool = True


def levels(config: Dinov2Fields, prefix_tokens: int = 1) -> tuple[Level, ...]:
    """Stem and blocks, each with the same channels and stride."""
    return block_levels(config, sides(config.patch_size)[0], prefix_tokens=prefix_tokens)


def construct_body(config: Dinov2Fields, plan: BodyPlan) -> nn.Module:
    """timm's ViT, cut after the last built block."""
    width = int(config.hidden_size * config.mlp_ratio)
    if config.use_swiglu_ffn:
        # Two thirds, rounded up to a multiple of 8; timm's packed layer holds gate and value.
        width = 2 * ((int(width * 2 / 3) + 7) // 8 * 8)
    body = VisionTransformer(
        img_size=sides(config.image_size),
        patch_size=sides(config.patch_size),
        in_chans=plan.in_channels,
        num_classes=0,
        global_pool="",
        embed_dim=config.hidden_size,
        depth=plan.last,
        num_heads=config.num_attention_heads,
        # Half a unit more, because timm rounds the product down.
        mlp_ratio=(width + 0.5) / config.hidden_size,
        qkv_bias=config.qkv_bias,
        init_values=config.layerscale_value,
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
        # The block passes its activation to the layer, and SwiGLU uses SiLU.
        act_layer=nn.SiLU if config.use_swiglu_ffn else nn.GELU,
        mlp_layer=SwiGLUPacked if config.use_swiglu_ffn else Mlp,  # type: ignore[arg-type]
    )
    if config.drop_path_rate > 0:
        for block in body.blocks:
            block.drop_path1, block.drop_path2 = (DropPath(config.drop_path_rate) for _ in range(2))  # type: ignore
    if not plan.final_norm:
        body.norm = nn.Identity()
    return body


def embed(body: VisionTransformer, pixel_values: Tensor, *, antialias: bool = False) -> tuple[Tensor, tuple[int, int]]:
    """[batch, 1 + height * width, channels], the class token first. Pixels after the last whole patch are dropped."""
    x, grid = patch_tokens(body, pixel_values)
    x = torch.cat((body.cls_token.expand(x.shape[0], -1, -1), x), dim=1)  # type: ignore[union-attr]
    table: Tensor = body.pos_embed  # type: ignore[assignment]
    # transformers interpolates wherever the image is not square, even to the same number of positions.
    is_native = grid[0] == grid[1] and pixel_values.shape[-2] == pixel_values.shape[-1] and x.shape[1] == table.shape[1]
    return x + (table if is_native else interpolated_positions(table, grid, prefix=1, antialias=antialias)), grid


def _resample_positions(table: Tensor, size: int) -> Tensor:
    side = round((size - 1) ** 0.5)
    return interpolated_positions(table, (side, side), prefix=1)


def rules(config: Dinov2Fields) -> list[Rule]:
    """The rules that the model types of DINOv2 have in common."""
    block, ours = "encoder.layer.{i}", "body.blocks.{i}"
    found: list[Rule] = [
        Rename("embeddings.cls_token", "body.cls_token"),
        Rename("embeddings.position_embeddings", "body.pos_embed"),
        Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
        Rename(f"{block}.norm1", f"{ours}.norm1"),
        Rename(f"{block}.norm2", f"{ours}.norm2"),
        Join([f"{block}.attention.attention.{name}" for name in ("query", "key", "value")], f"{ours}.attn.qkv"),
        Rename(f"{block}.attention.output.dense", f"{ours}.attn.proj"),
        # As transformers 5 names them in memory.
        Join([f"{block}.attention.{name}_proj" for name in ("q", "k", "v")], f"{ours}.attn.qkv"),
        Rename(f"{block}.attention.o_proj", f"{ours}.attn.proj"),
        Rename(f"{block}.layer_scale1.lambda1", f"{ours}.ls1.gamma"),
        Rename(f"{block}.layer_scale2.lambda1", f"{ours}.ls2.gamma"),
        Rename("layernorm", "body.norm"),
    ]
    if config.use_swiglu_ffn:
        found += [
            Rename(f"{block}.mlp.weights_in", f"{ours}.mlp.fc1"),
            Rename(f"{block}.mlp.weights_out", f"{ours}.mlp.fc2"),
            Join([f"{block}.mlp.{name}_proj" for name in ("gate", "up")], f"{ours}.mlp.fc1"),
            Rename(f"{block}.mlp.down_proj", f"{ours}.mlp.fc2"),
        ]
    else:
        found += [Rename(f"{block}.mlp.fc1", f"{ours}.mlp.fc1"), Rename(f"{block}.mlp.fc2", f"{ours}.mlp.fc2")]
    return found


DROPPED = ("classifier.*", "embeddings.mask_token")


def _key_map(config: Dinov2Architecture) -> KeyMap:
    return KeyMap(rules(config), drop=DROPPED, prefixes=["dinov2"])


FAMILY = Family(
    config_class=Dinov2Architecture,
    levels=levels,
    construct_body=construct_body,
    embed=embed,
    units=block_units,
    layout="tokens",
    key_map=_key_map,
    stage_of=block_stage,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "final" if config.apply_layernorm else "none",
    final_norm="every",
    processing=Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic"),
    canvas=lambda config: sides(config.image_size),
    position_table="body.pos_embed",
    resample_positions=_resample_positions,
    attentions=block_attentions,
)
