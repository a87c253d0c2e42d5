"""ViTDet's ViT, as transformers' `vitdet` checkpoints have it: windows in some blocks, no class token, no final norm.

Source: "Exploring Plain Vision Transformer Backbones for Object Detection", https://arxiv.org/abs/2203.16527;
transformers/models/vitdet/modeling_vitdet.py; timm/models/vision_transformer_sam.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from timm.layers import LayerNorm2d
from timm.models.vision_transformer_sam import Block, VisionTransformerSAM, window_partition, window_unpartition
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import FEEDFORWARD_INNER, FEEDFORWARD_OUTPUT
from backbonekit.backbones.hf.family import BodyPlan, Family, channels_first
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, rate_of_last_built, sides
from backbonekit.backbones.hf.plain_transformer import (
    block_attentions,
    block_levels,
    block_stage,
    block_units,
    interpolated_positions,
    width_faults,
)
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename

Index = Annotated[int, Range(0, 199)]


@dataclass(kw_only=True)
class VitDetArchitecture(ArchitectureConfig):
    """`window_size`: side of an attention window, in tokens, in the blocks of `window_block_indices`; 0 for none.
    `residual_block_indices`: blocks that end in convolutions. `pretrain_image_size`: image size of the position table.
    `image_size`: image size of the relative positions of blocks without windows.
    `drop_path_rate`: of the deepest block in training.
    """

    model_type: ClassVar[str] = "vitdet"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {"dropout_prob": (FEEDFORWARD_INNER, FEEDFORWARD_OUTPUT)}
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "drop_path_rate"})
    whole_fields: ClassVar[frozenset[str]] = frozenset({"mlp_ratio"})
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    hidden_size: Channels = 768
    num_hidden_layers: Annotated[int, Range(1, 200)] = 12
    num_attention_heads: Heads = 12
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4
    hidden_act: str = "gelu"
    dropout_prob: Probability = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-6
    image_size: Square = 224
    pretrain_image_size: Square = 224
    patch_size: Square = 16
    num_channels: Channels = 3
    qkv_bias: bool = True
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    window_block_indices: tuple[Index, ...] = ()
    residual_block_indices: tuple[Index, ...] = ()
    use_absolute_position_embeddings: bool = True
    use_relative_position_embeddings: bool = False
    window_size: Annotated[int, Range(0, 1_024)] = 0

    def _supported(self) -> list[str]:
        faults = self._refusals(
            {
                "hidden_act": tuple(ACTIVATIONS),
                "use_absolute_position_embeddings": (True,),  # transformers does not build it without
            }
        )
        for field in ("pretrain_image_size", "patch_size"):
            height, width = sides(getattr(self, field))
            if height != width:
                faults.append(f"vitdet config: {field} must be a square, got {height} x {width}.")
        faults += width_faults(self)
        if max(sides(self.patch_size)) > min(*sides(self.image_size), *sides(self.pretrain_image_size)):
            faults.append(
                f"vitdet config: patch_size={self.patch_size} is larger than image_size={self.image_size} or"
                f" pretrain_image_size={self.pretrain_image_size}."
            )
        return faults


class ResidualBottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 with half the channels between them, beside the identity.

    Source: "Exploring Plain Vision Transformer Backbones for Object Detection", https://arxiv.org/abs/2203.16527.
    """

    def __init__(self, channels: int, activation: type[nn.Module]) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(channels, half, 1, bias=False)
        self.norm1 = LayerNorm2d(half)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.norm2 = LayerNorm2d(half)
        self.act2 = activation()
        self.conv3 = nn.Conv2d(half, channels, 1, bias=False)
        self.norm3 = LayerNorm2d(channels)
        nn.init.zeros_(self.norm3.weight)  # the identity at initialisation

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        y = x.permute(0, 3, 1, 2)
        y = self.act1(self.norm1(self.conv1(y)))
        y = self.act2(self.norm2(self.conv2(y)))
        return x + self.norm3(self.conv3(y)).permute(0, 2, 3, 1)


class WindowThenDropBlock(Block):
    """A block with stochastic depth for each image, as in the original and in transformers; timm's is for each window.

    `residual`: a `ResidualBottleneck` or the identity.
    """

    residual: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        size = (x.shape[1], x.shape[2])
        y = self.norm1(x)
        if self.window_size > 0:
            y, padded = window_partition(y, self.window_size)
            y = window_unpartition(self.attn(y), self.window_size, size, padded)
        else:
            y = self.attn(y)
        x = x + self.drop_path1(y)
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return self.residual(x)


def _levels(config: VitDetArchitecture) -> tuple[Level, ...]:
    return block_levels(config, sides(config.patch_size)[0])


def _construct_body(config: VitDetArchitecture, plan: BodyPlan) -> nn.Module:
    body = VisionTransformerSAM(
        img_size=sides(config.image_size),  # type: ignore[arg-type]
        patch_size=sides(config.patch_size),  # type: ignore[arg-type]
        in_chans=plan.in_channels,
        num_classes=0,
        global_pool="",
        embed_dim=config.hidden_size,
        depth=plan.last,
        num_heads=config.num_attention_heads,
        # Half a unit more, because timm rounds the product down.
        mlp_ratio=(int(config.hidden_size * config.mlp_ratio) + 0.5) / config.hidden_size,
        qkv_bias=config.qkv_bias,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, [plan.last], [config.num_hidden_layers]),
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),  # type: ignore[arg-type]
        act_layer=ACTIVATIONS[config.hidden_act],
        use_abs_pos=False,
        use_rel_pos=config.use_relative_position_embeddings,
        window_size=config.window_size,
        global_attn_indexes=tuple(i for i in range(plan.last) if i not in config.window_block_indices),
        neck_chans=0,
    )
    body.neck = nn.Identity()  # type: ignore[assignment]
    for index, block in enumerate(body.blocks):
        block.__class__ = WindowThenDropBlock
        has_residual = index in config.residual_block_indices
        block.residual = (
            ResidualBottleneck(config.hidden_size, ACTIVATIONS[config.hidden_act]) if has_residual else nn.Identity()
        )
    side = sides(config.pretrain_image_size)[0] // sides(config.patch_size)[0]
    # As it is stored: with the position of a class token, which this model does not have.
    table = torch.zeros(1, 1 + side * side, config.hidden_size)
    body.pos_embed = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
    return body


def _embed(body: VisionTransformerSAM, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, height, width, channels]. Pixels after the last whole patch are dropped."""
    x = body.patch_embed.proj(pixel_values).permute(0, 2, 3, 1)  # type: ignore
    grid = (x.shape[1], x.shape[2])
    table: Tensor = body.pos_embed  # type: ignore[assignment]
    if grid[0] != grid[1] or grid[0] * grid[1] != table.shape[1] - 1:
        table = interpolated_positions(table, grid, prefix=1, in_float32=False)
    return x + table[:, 1:].unflatten(1, grid), grid


def _key_map(config: VitDetArchitecture) -> KeyMap:
    block, ours = "encoder.layer.{i}", "body.blocks.{i}"
    return KeyMap(
        [
            Rename("embeddings.position_embeddings", "body.pos_embed"),
            Rename("embeddings.projection", "body.patch_embed.proj"),
            Rename(f"{block}.attention", f"{ours}.attn"),
            *(Rename(f"{block}.{name}", f"{ours}.{name}") for name in ("norm1", "norm2", "mlp", "residual")),
        ],
        prefixes=["vitdet"],
    )


def _heads_apart(module: Any, weights: Tensor) -> Tensor:
    """[windows * heads, queries, keys] -> [windows, heads, queries, keys], with one window where there are none."""
    return weights.unflatten(0, (-1, module.num_heads))


FAMILY = Family(
    config_class=VitDetArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=block_units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=block_stage,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(size=(224, 224), interpolation="bilinear"),
    canvas=lambda config: sides(config.image_size),
    hidden_state=channels_first,
    attentions=block_attentions,
    attention_weights=_heads_apart,
)
