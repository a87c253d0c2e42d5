"""Pyramid Vision Transformer v2, as transformers' `pvt_v2` checkpoints have it.

There is no map of a stem: position 0 is the first stage. Every stage ends in a LayerNorm of its own.

Source: "PVT v2: Improved Baselines with Pyramid Vision Transformer", https://arxiv.org/abs/2106.13797;
transformers/models/pvt_v2/modeling_pvt_v2.py; timm/models/pvt_v2.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from timm.models.pvt_v2 import Block, OverlapPatchEmbed, PyramidVisionTransformerV2
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, FEEDFORWARD
from backbonekit.backbones.hf.family import BodyPlan, Family, channels_first
from backbonekit.backbones.hf.field_values import Square, rate_of_last_built, sides
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename

Count = Annotated[int, Range(1, 1_024)]


@dataclass(kw_only=True)
class PvtV2Architecture(ArchitectureConfig):
    """`hidden_sizes`, `depths`, `num_attention_heads`, `mlp_ratios`: one for each stage. `sr_ratios`: by how much each
    stage reduces its keys and values. `linear_attention`: pool them to 7 x 7 instead, whatever their size.
    `drop_path_rate`: of the deepest block in training.
    """

    model_type: ClassVar[str] = "pvt_v2"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (ATTENTION_OUTPUT, FEEDFORWARD),
        "attention_probs_dropout_prob": (ATTENTION,),
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "image_size", "drop_path_rate"})
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    image_size: Square = (224, 224)
    num_channels: Channels = 3
    num_encoder_blocks: Annotated[int, Range(1, 256)] = 4
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (2, 2, 2, 2)
    sr_ratios: tuple[Count, ...] = (8, 4, 2, 1)
    hidden_sizes: tuple[Channels, ...] = (32, 64, 160, 256)
    patch_sizes: tuple[Count, ...] = (7, 3, 3, 3)
    strides: tuple[Count, ...] = (4, 2, 2, 2)
    num_attention_heads: tuple[Heads, ...] = (1, 2, 5, 8)
    mlp_ratios: tuple[Annotated[float, Range(0.01, 64)], ...] = (8, 8, 4, 4)
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-6
    qkv_bias: bool = True
    linear_attention: bool = False

    def _supported(self) -> list[str]:
        stages = len(self.depths)
        faults = [
            f"pvt_v2 config: {name} has {len(getattr(self, name))} values and depths {stages}; they are one for each"
            " stage."
            for name in ("sr_ratios", "hidden_sizes", "patch_sizes", "strides", "num_attention_heads", "mlp_ratios")
            if len(getattr(self, name)) != stages
        ]
        if self.num_encoder_blocks != stages or not stages:
            faults.append(
                f"pvt_v2 config: num_encoder_blocks={self.num_encoder_blocks} must be the number of stages, and depths"
                f" has {stages}."
            )
        if faults:
            return faults
        faults = self._refusals(
            {
                "patch_sizes": ((7, *(3,) * (stages - 1)),),
                "strides": ((4, *(2,) * (stages - 1)),),
                "hidden_act": ("gelu",),
            }
        )
        return faults + [
            f"pvt_v2 config: stage {index + 1} has {size} channels, which num_attention_heads={heads} does not divide."
            for index, (size, heads) in enumerate(zip(self.hidden_sizes, self.num_attention_heads, strict=True))
            if size % heads
        ]


class MapBlock(Block):
    """timm's block on a map; timm's own takes tokens and the map's size."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x: [batch, height, width, channels]. The same shape."""
        size = (x.shape[1], x.shape[2])
        return super().forward(x.flatten(1, 2), size).unflatten(1, size)  # type: ignore[arg-type]


class MapPatchEmbed(OverlapPatchEmbed):
    """timm's overlapping patch embedding of a map in NHWC, the layout that it returns."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The map of the next stage, in the same layout."""
        return super().forward(x.permute(0, 3, 1, 2))


def _levels(config: PvtV2Architecture) -> tuple[Level, ...]:
    return tuple(Level(f"stage{i + 1}", size, 4 * 2**i) for i, size in enumerate(config.hidden_sizes))


def _construct_body(config: PvtV2Architecture, plan: BodyPlan) -> nn.Module:
    stages = plan.last + 1
    depths = config.depths[:stages]
    body = PyramidVisionTransformerV2(
        in_chans=plan.in_channels,
        num_classes=0,
        global_pool="",
        depths=depths,
        embed_dims=config.hidden_sizes[:stages],
        num_heads=config.num_attention_heads[:stages],
        sr_ratios=config.sr_ratios[:stages],
        mlp_ratios=config.mlp_ratios[:stages],
        qkv_bias=config.qkv_bias,
        linear=config.linear_attention,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, depths, config.depths),
    )
    for stage in body.stages:
        for block in stage.blocks:  # type: ignore[union-attr]
            block.__class__ = MapBlock  # no new state, only another layout
        if stage.downsample is not None:
            stage.downsample.__class__ = MapPatchEmbed  # type: ignore[union-attr]
    for module in body.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = config.layer_norm_eps  # timm leaves some at the default of torch
    return body


def _embed(body: PyramidVisionTransformerV2, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, height, width, channels]."""
    x = body.patch_embed(pixel_values)
    return x, (x.shape[1], x.shape[2])


def _units(body: PyramidVisionTransformerV2) -> Sequence[Sequence[nn.Module]]:
    return [
        [*([] if stage.downsample is None else [stage.downsample]), *stage.blocks, stage.norm]  # type: ignore
        for stage in body.stages
    ]


def _key_map(config: PvtV2Architecture) -> KeyMap:
    stage, ours = "encoder.layers.{i}", "body.stages.{i}"
    block, our_block = f"{stage}.blocks.{{j}}", f"{ours}.blocks.{{j}}"
    return KeyMap(
        [
            # timm has the first stage's patch embedding outside the stages.
            Rename("encoder.layers.0.patch_embedding.proj", "body.patch_embed.proj"),
            Rename("encoder.layers.0.patch_embedding.layer_norm", "body.patch_embed.norm"),
            Rename(f"{stage}.patch_embedding.proj", f"{ours}.downsample.proj"),
            Rename(f"{stage}.patch_embedding.layer_norm", f"{ours}.downsample.norm"),
            Rename(f"{stage}.layer_norm", f"{ours}.norm"),
            Rename(f"{block}.layer_norm_1", f"{our_block}.norm1"),
            Rename(f"{block}.layer_norm_2", f"{our_block}.norm2"),
            Rename(f"{block}.attention.query", f"{our_block}.attn.q"),
            Join([f"{block}.attention.{name}" for name in ("key", "value")], f"{our_block}.attn.kv"),
            Rename(f"{block}.attention.proj", f"{our_block}.attn.proj"),
            Rename(f"{block}.attention.spatial_reduction", f"{our_block}.attn.sr"),
            Rename(f"{block}.attention.layer_norm", f"{our_block}.attn.norm"),
            Rename(f"{block}.mlp.dense1", f"{our_block}.mlp.fc1"),
            Rename(f"{block}.mlp.dwconv.dwconv", f"{our_block}.mlp.dwconv"),
            Rename(f"{block}.mlp.dense2", f"{our_block}.mlp.fc2"),
        ],
        drop=["classifier.*"],
        prefixes=["pvt_v2"],
    )


def _stage_of(name: str) -> int | None:
    found = re.match(r"body\.stages\.(\d+)\.", name)
    return int(found.group(1)) if found else 0


FAMILY = Family(
    config_class=PvtV2Architecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(size=(224, 224), interpolation="bilinear"),
    canvas=lambda config: sides(config.image_size),
    norm_epsilon=1e-6,
    has_stem=False,
    hidden_state=channels_first,
)
