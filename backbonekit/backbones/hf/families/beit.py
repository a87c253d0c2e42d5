"""BEiT, as transformers' `beit` checkpoints have it: a plain ViT with a relative position bias in attention.

Bias tables and position tables are interpolated to the image in every forward pass, and no norm is applied to the maps.

Source: "BEiT: BERT Pre-Training of Image Transformers", https://arxiv.org/abs/2106.08254;
transformers/models/beit/modeling_beit.py; timm/models/beit.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Int
from timm.models.beit import Beit, Block
from torch import Tensor, nn
from torch.nn.functional import interpolate

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, EMBEDDINGS, FEEDFORWARD_OUTPUT
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import Side, Square, rate_of_last_built, sides
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
from backbonekit.weights.key_map import Join, KeyMap, Rename, combine

_TABLE = "relative_position_bias_table"


@dataclass(kw_only=True)
class BeitArchitecture(ArchitectureConfig):
    """`use_absolute_position_embeddings`: a position table. `use_relative_position_bias`: a relative position bias
    in each block. `use_shared_relative_position_bias`: one for all blocks. `layer_scale_init_value`: initial value of
    the layer scales, 0 for none. `drop_path_rate`: of the deepest block in training.

    `reshape_hidden_states` changes nothing here: maps are always [batch, channels, height, width], and the class token
    is returned in `prefix_tokens`.
    """

    model_type: ClassVar[str] = "beit"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, ATTENTION_OUTPUT, FEEDFORWARD_OUTPUT),
        "attention_probs_dropout_prob": (ATTENTION,),
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset(
        {"initializer_range", "vocab_size", "use_mean_pooling", "pool_scales", "use_auxiliary_head"}
        | {"auxiliary_loss_weight", "auxiliary_channels", "auxiliary_num_convs", "auxiliary_concat_input"}
        | {"semantic_loss_ignore_index", "segmentation_indices"}
    )
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "drop_path_rate", "reshape_hidden_states", "use_mask_token"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    hidden_size: Channels = 768
    num_hidden_layers: Annotated[int, Range(1, 200)] = 12
    num_attention_heads: Heads = 12
    intermediate_size: Channels = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-12
    image_size: Square = 224
    patch_size: Side = 16
    num_channels: Channels = 3
    use_mask_token: bool = False
    use_absolute_position_embeddings: bool = False
    use_relative_position_bias: bool = False
    use_shared_relative_position_bias: bool = False
    layer_scale_init_value: Annotated[float, Range(0.0, 1e3)] = 0.1
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.1
    add_fpn: bool = False
    reshape_hidden_states: bool = True

    def _supported(self) -> list[str]:
        faults = self._refusals(
            {
                "hidden_act": ("gelu",),
                "add_fpn": (False,),
            }
        )
        height, width = sides(self.image_size)
        if height != width:
            faults.append(f"beit config: image_size must be a square, got {height} x {width}.")
        faults += width_faults(self)
        if self.patch_size > height:
            faults.append(f"beit config: patch_size={self.patch_size} is larger than image_size={self.image_size}.")
        return faults

    @property
    def side(self) -> int:
        """Positions along one side of the grid that the tables are made for."""
        return sides(self.image_size)[0] // self.patch_size


_CLASS_TOKEN_ROWS = 3  # the last rows of a table: class to positions, positions to class, class to class


class GridPositionBias(nn.Module):
    """A relative position bias: one value for each head and each offset between two positions of a square grid,
    interpolated to other grids.

    Source: "BEiT: BERT Pre-Training of Image Transformers", https://arxiv.org/abs/2106.08254; for other grids "MiDaS
    v3.1", https://arxiv.org/abs/2307.14460.
    """

    def __init__(self, side: int, heads: int) -> None:
        super().__init__()
        self.offsets = 2 * side - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(self.offsets**2 + _CLASS_TOKEN_ROWS, heads))

    def forward(self, index: Int[Tensor, "tokens tokens"], grid: tuple[int, int]) -> Float[Tensor, "1 heads t t"]:
        """The bias for a grid (height, width). `index`: the `relative_position_index` of that grid."""
        table = self.relative_position_bias_table
        # [offsets * offsets, heads] -> [1, heads, offsets, offsets]
        square = table[:-_CLASS_TOKEN_ROWS].unflatten(0, (self.offsets, self.offsets)).permute(2, 0, 1).unsqueeze(0)
        resized = interpolate(square, size=(2 * grid[0] - 1, 2 * grid[1] - 1), mode="bilinear")
        # [1, heads, rows, columns] -> [rows * columns, heads]
        rows = resized[0].permute(1, 2, 0).flatten(0, 1)
        fitted = torch.cat((rows, table[-_CLASS_TOKEN_ROWS:]))
        return fitted[index].permute(2, 0, 1).contiguous().unsqueeze(0)


def relative_position_index(grid: tuple[int, int], device: torch.device) -> Int[Tensor, "tokens tokens"]:
    """The row of a grid's bias table for each pair of tokens, the class token first."""
    height, width = grid
    rows = torch.arange(height, device=device).repeat_interleave(width)
    columns = torch.arange(width, device=device).repeat(height)
    down = rows[:, None] - rows + height - 1
    right = columns[:, None] - columns + width - 1
    index = down * (2 * width - 1) + right
    offsets = (2 * height - 1) * (2 * width - 1)
    from_class = index.new_full((1, height * width), offsets)
    to_class = index.new_full((height * width, 1), offsets + 1)
    corner = index.new_full((1, 1), offsets + 2)
    return torch.cat((torch.cat((corner, from_class), 1), torch.cat((to_class, index), 1)))


class GridBiasBlock(Block):
    """timm's block with a bias for the grid of the current image. `position_bias`: its own, or None."""

    position_bias: GridPositionBias | None

    def forward(  # type: ignore[override]
        self, x: Tensor, shared: Tensor | None, index: Tensor | None, grid: tuple[int, int]
    ) -> Tensor:
        """x: [batch, tokens, channels]. `shared`: the bias of all blocks, or None. `index`, `grid`: of its own bias."""
        bias = shared
        if self.position_bias is not None and index is not None:
            own = self.position_bias(index, grid)
            bias = own if shared is None else own + shared
        return super().forward(x, bias)


def _levels(config: BeitArchitecture) -> tuple[Level, ...]:
    return block_levels(config, config.patch_size, prefix_tokens=1)


def _construct_body(config: BeitArchitecture, plan: BodyPlan) -> nn.Module:
    body = Beit(
        img_size=sides(config.image_size),
        patch_size=config.patch_size,
        in_chans=plan.in_channels,
        num_classes=0,
        global_pool="",
        embed_dim=config.hidden_size,
        depth=plan.last,
        num_heads=config.num_attention_heads,
        # Half a unit more, because timm rounds the product down.
        mlp_ratio=(config.intermediate_size + 0.5) / config.hidden_size,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, [plan.last], [config.num_hidden_layers]),
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),  # type: ignore[arg-type]
        init_values=config.layer_scale_init_value or None,
        use_abs_pos_emb=config.use_absolute_position_embeddings,
    )
    for block in body.blocks:
        block.__class__ = GridBiasBlock
        block.position_bias = _bias(config) if config.use_relative_position_bias else None  # type: ignore
    if plan.last > 0 and config.use_shared_relative_position_bias:
        body.rel_pos_bias = _bias(config)  # type: ignore[assignment]
    body.norm = nn.Identity()
    return body


def _bias(config: BeitArchitecture) -> GridPositionBias:
    return GridPositionBias(config.side, config.num_attention_heads)


def _embed(body: Beit, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, 1 + height * width, channels], the class token first. Pixels after the last whole patch are dropped."""
    x, grid = patch_tokens(body, pixel_values)
    x = torch.cat((body.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
    table = body.pos_embed
    if table is None:
        return x, grid
    # transformers interpolates wherever the image is not square, even to the same number of positions.
    is_native = pixel_values.shape[-2] == pixel_values.shape[-1] and x.shape[1] == table.shape[1]
    return x + (table if is_native else interpolated_positions(table, grid, prefix=1, in_float32=False)), grid


def _biases(body: Beit, x: Tensor, grid: tuple[int, int]) -> tuple[Any, ...]:
    """The shared bias, and the index and grid from which a block computes its own."""
    shared: Any = body.rel_pos_bias
    has_own = any(block.position_bias is not None for block in body.blocks)
    index = relative_position_index(grid, x.device) if has_own or shared is not None else None
    return None if shared is None else shared(index, grid), index, grid


def _key_map(config: BeitArchitecture) -> KeyMap:
    ours = "body.blocks.{i}"
    embeddings = [
        Rename("embeddings.cls_token", "body.cls_token"),
        Rename("embeddings.position_embeddings", "body.pos_embed"),
        Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
    ]
    classic, attention = "encoder.layer.{i}", "encoder.layer.{i}.attention.attention"
    modern = "layers.{i}"
    rules = [
        Rename(f"{classic}.layernorm_before", f"{ours}.norm1"),
        Rename(f"{classic}.layernorm_after", f"{ours}.norm2"),
        # Keys have no bias.
        Join([f"{attention}.{name}.weight" for name in ("query", "key", "value")], f"{ours}.attn.qkv.weight"),
        Rename(f"{attention}.query.bias", f"{ours}.attn.q_bias"),
        Rename(f"{attention}.value.bias", f"{ours}.attn.v_bias"),
        Rename(f"{attention}.relative_position_bias.{_TABLE}", f"{ours}.position_bias.{_TABLE}"),
        Rename(f"{classic}.attention.output.dense", f"{ours}.attn.proj"),
        Rename(f"{classic}.intermediate.dense", f"{ours}.mlp.fc1"),
        Rename(f"{classic}.output.dense", f"{ours}.mlp.fc2"),
        Rename(f"{classic}.lambda_1", f"{ours}.gamma_1"),
        Rename(f"{classic}.lambda_2", f"{ours}.gamma_2"),
        # As transformers 5 names them in memory.
        Rename(f"{modern}.layernorm_before", f"{ours}.norm1"),
        Rename(f"{modern}.layernorm_after", f"{ours}.norm2"),
        Join([f"{modern}.attention.{name}_proj.weight" for name in "qkv"], f"{ours}.attn.qkv.weight"),
        Rename(f"{modern}.attention.q_proj.bias", f"{ours}.attn.q_bias"),
        Rename(f"{modern}.attention.v_proj.bias", f"{ours}.attn.v_bias"),
        Rename(f"{modern}.relative_position_bias.{_TABLE}", f"{ours}.position_bias.{_TABLE}"),
        Rename(f"{modern}.attention.o_proj", f"{ours}.attn.proj"),
        Rename(f"{modern}.mlp", f"{ours}.mlp"),
        Rename(f"{modern}.lambda_1", f"{ours}.gamma_1"),
        Rename(f"{modern}.lambda_2", f"{ours}.gamma_2"),
        Rename(f"shared_position_bias.{_TABLE}", f"body.rel_pos_bias.{_TABLE}"),
    ]
    # The shared table alone stands under `beit` in a lone backbone too, and is written so.
    shared = KeyMap([Rename(f"encoder.relative_position_bias.{_TABLE}", f"body.rel_pos_bias.{_TABLE}")])
    drop = ["classifier.*", "lm_head.*", "pooler.*", "layernorm.*", "embeddings.mask_token", "*relative_position_index"]
    # What BeitForSemanticSegmentation adds.
    drop += ["decode_head.*", "auxiliary_head.*", "fpn*"]
    return combine(shared.under("beit", ""), shared, KeyMap([*embeddings, *rules], drop=drop, prefixes=["beit"]))


def _stage_of(name: str) -> int | None:
    return 1 if name.startswith("body.rel_pos_bias.") else block_stage(name)


FAMILY = Family(
    config_class=BeitArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=block_units,
    layout="tokens",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(size=(224, 224), interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    canvas=lambda config: sides(config.image_size),
    extra_inputs=_biases,
    attentions=block_attentions,
)
