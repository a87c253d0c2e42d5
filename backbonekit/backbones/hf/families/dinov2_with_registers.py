"""DINOv2 with registers, as transformers' `dinov2_with_registers` checkpoints have it: `dinov2` with more tokens.

Registers come between the class token and the patch tokens and have no position embedding. Position tables are
interpolated with antialiasing, unlike in `dinov2`.

Source: "Vision Transformers Need Registers", https://arxiv.org/abs/2309.16588;
transformers/models/dinov2_with_registers/modeling_dinov2_with_registers.py; the rest as in `dinov2.py`.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbonekit.backbones.hf.families import dinov2
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import Square, sides
from backbonekit.backbones.hf.plain_transformer import (
    block_attentions,
    block_stage,
    block_units,
    interpolated_positions,
)
from backbonekit.contract.features import Level
from backbonekit.contract.options import Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename


@dataclass(kw_only=True)
class Dinov2WithRegistersArchitecture(dinov2.Dinov2Fields):
    """`use_swiglu_ffn`: gated feed-forward of two thirds the width. `apply_layernorm`: the final norm on every map.
    `num_register_tokens`: register tokens, returned in `prefix_tokens` after the class token.
    """

    model_type: ClassVar[str] = "dinov2_with_registers"
    # The last two stood in configurations before the class was published; transformers does not read them.
    derived_fields: ClassVar[frozenset[str]] = frozenset(
        {"initializer_range", "interpolate_antialias", "interpolate_offset"}
    )

    patch_size: Square = 16
    num_register_tokens: Annotated[int, Range(0, 1_024)] = 4


def _levels(config: Dinov2WithRegistersArchitecture) -> tuple[Level, ...]:
    return dinov2.levels(config, 1 + config.num_register_tokens)


def _construct_body(config: Dinov2WithRegistersArchitecture, plan: BodyPlan) -> nn.Module:
    body = dinov2.construct_body(config, plan)
    if config.num_register_tokens:
        # Added here, because timm's own registers have position embeddings, or remove that of the class token.
        body.reg_token = nn.Parameter(torch.zeros(1, config.num_register_tokens, config.hidden_size))
    return body


def _embed(body: VisionTransformer, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, 1 + registers + height * width, channels]."""
    x, grid = dinov2.embed(body, pixel_values, antialias=True)
    if body.reg_token is None:
        return x, grid
    return torch.cat((x[:, :1], body.reg_token.expand(x.shape[0], -1, -1), x[:, 1:]), dim=1), grid


def _resample_positions(table: Tensor, size: int) -> Tensor:
    side = round((size - 1) ** 0.5)
    return interpolated_positions(table, (side, side), prefix=1, antialias=True)


def _key_map(config: Dinov2WithRegistersArchitecture) -> KeyMap:
    name = "embeddings.register_tokens"
    # Without registers transformers stores an empty tensor.
    return KeyMap(
        [*dinov2.rules(config), *([Rename(name, "body.reg_token")] if config.num_register_tokens else [])],
        drop=[*dinov2.DROPPED, *([] if config.num_register_tokens else [name])],
        prefixes=["dinov2_with_registers"],
    )


FAMILY = Family(
    config_class=Dinov2WithRegistersArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
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
