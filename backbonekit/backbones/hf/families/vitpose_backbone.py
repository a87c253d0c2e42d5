"""ViTPose's ViT, as transformers' `vitpose_backbone` checkpoints have it: padded patches, no class token, a final norm.

The maps are [batch, channels, height, width], where transformers returns tokens. Images have the configuration's size.

Source: "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", https://arxiv.org/abs/2204.12484;
transformers/models/vitpose_backbone/modeling_vitpose_backbone.py; timm/models/vision_transformer.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, EMBEDDINGS
from backbonekit.backbones.hf.expert_block import ExpertBlock, ExpertMlp, chosen_experts, num_experts
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, sides
from backbonekit.backbones.hf.plain_transformer import (
    block_attentions,
    block_levels,
    block_stage,
    block_units,
    check_grid,
    patch_tokens,
    width_faults,
)
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename

_PADDING = 2  # of the patch embedding, in pixels, on every side


@dataclass(kw_only=True)
class VitPoseBackboneArchitecture(ArchitectureConfig):
    """`image_size`: (height, width) of every image. `num_experts`: more than one for a ViTPose++, whose feedforward
    layers get `part_features` of their channels from an expert for the data set that an image is of."""

    model_type: ClassVar[str] = "vitpose_backbone"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, ATTENTION_OUTPUT),
        "attention_probs_dropout_prob": (ATTENTION,),
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "part_features"})

    image_size: Square = (256, 192)
    patch_size: Square = (16, 16)
    num_channels: Channels = 3
    whole_fields: ClassVar[frozenset[str]] = frozenset({"mlp_ratio"})
    hidden_size: Channels = 768
    num_hidden_layers: Annotated[int, Range(1, 200)] = 12
    num_attention_heads: Heads = 12
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4
    num_experts: Annotated[int, Range(1, 1_024)] = 1
    part_features: Channels = 256
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-12
    qkv_bias: bool = True

    def _supported(self) -> list[str]:
        faults = self._refusals(
            {
                "hidden_act": tuple(ACTIVATIONS),
            }
        )
        faults += width_faults(self)
        if self.num_experts > 1 and self.part_features >= self.hidden_size:
            faults.append(
                f"vitpose_backbone config: part_features={self.part_features} must be below"
                f" hidden_size={self.hidden_size}."
            )
        for size, patch, positions in zip(sides(self.image_size), sides(self.patch_size), self.grid, strict=True):
            if not positions or (size + 2 * _PADDING - patch) // patch + 1 != positions:
                faults.append(
                    f"vitpose_backbone config: image_size={self.image_size} and patch_size={self.patch_size} do not"
                    f" go together: with a padding of {_PADDING} there are more patches than positions."
                )
                break
        return faults

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the maps."""
        height, width = (
            size // patch for size, patch in zip(sides(self.image_size), sides(self.patch_size), strict=True)
        )
        return height, width


def _levels(config: VitPoseBackboneArchitecture) -> tuple[Level, ...]:
    return block_levels(config, max(sides(config.patch_size)))


def _construct_body(config: VitPoseBackboneArchitecture, plan: BodyPlan) -> nn.Module:
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
        mlp_ratio=(int(config.hidden_size * config.mlp_ratio) + 0.5) / config.hidden_size,
        qkv_bias=config.qkv_bias,
        class_token=False,
        pos_embed="none",
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
        act_layer=ACTIVATIONS[config.hidden_act],
    )
    body.patch_embed.proj.padding = (_PADDING, _PADDING)
    # As it is stored: the first position is added to all others.
    table = torch.zeros(1, 1 + config.grid[0] * config.grid[1], config.hidden_size)
    body.pos_embed = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
    body.grid = config.grid  # type: ignore[assignment]
    if not plan.final_norm:
        body.norm = nn.Identity()
    if config.num_experts > 1:
        blocks = (ExpertBlock(block, _experts(config)) for block in body.blocks)  # type: ignore[arg-type]
        body.blocks = nn.Sequential(*blocks)
        body.dataset_index = None  # type: ignore[assignment]
    return body


def _experts(config: VitPoseBackboneArchitecture) -> ExpertMlp:
    return ExpertMlp(
        config.hidden_size,
        int(config.hidden_size * config.mlp_ratio),
        num_experts=config.num_experts,
        expert_channels=config.part_features,
        activation=ACTIVATIONS[config.hidden_act],
    )


def _extra_inputs(body: VisionTransformer, x: Tensor, grid: tuple[int, int]) -> tuple[Any, ...]:
    """Of a mixture of experts the choice of each image. Passed along, so that a recomputed block has the same."""
    return (chosen_experts(body, len(x), x.device),) if num_experts(body) > 1 else ()


def _embed(body: VisionTransformer, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, height * width, channels]."""
    x, grid = patch_tokens(body, pixel_values)
    check_grid(grid, body.grid, "vitpose_backbone")  # type: ignore[arg-type]
    table: Tensor = body.pos_embed  # type: ignore[assignment]
    return x + table[:, 1:] + table[:, :1], grid


def _key_map(config: VitPoseBackboneArchitecture) -> KeyMap:
    block, ours = "encoder.layer.{i}", "body.blocks.{i}"
    return KeyMap(
        [
            Rename("embeddings.position_embeddings", "body.pos_embed"),
            Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
            Rename(f"{block}.layernorm_before", f"{ours}.norm1"),
            Rename(f"{block}.layernorm_after", f"{ours}.norm2"),
            Join([f"{block}.attention.attention.{name}" for name in ("query", "key", "value")], f"{ours}.attn.qkv"),
            Rename(f"{block}.attention.output.dense", f"{ours}.attn.proj"),
            Rename(f"{block}.mlp", f"{ours}.mlp"),
            Rename("layernorm", "body.norm"),
        ],
        drop=["head.*"],
        prefixes=["backbone"],
    )


FAMILY = Family(
    config_class=VitPoseBackboneArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=block_units,
    layout="tokens",
    key_map=_key_map,
    stage_of=block_stage,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "final",
    final_norm="every",
    processing=Processing(size=(256, 192), interpolation="bilinear"),
    canvas=lambda config: sides(config.image_size),
    attentions=block_attentions,
    extra_inputs=_extra_inputs,
)
