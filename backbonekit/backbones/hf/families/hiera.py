"""Hiera, as transformers' `hiera` checkpoints have it: pooling attention in mask units, a LayerNorm for every map.

The maps are those of transformers' `HieraModel`. Its `HieraBackbone` does not sort the tokens by mask units, so it
attends and pools across the image; that is not reproduced here. Images have the
configuration's size.

Source: "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", https://arxiv.org/abs/2306.00989;
transformers/models/hiera/modeling_hiera.py; timm/models/hiera.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from timm.models.hiera import Hiera
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Side, rate_of_last_built
from backbonekit.backbones.hf.plain_transformer import check_grid
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename

Step = Annotated[int, Range(1, 64)]
Pair = tuple[Step, Step]


@dataclass(kw_only=True)
class HieraArchitecture(ArchitectureConfig):
    """`embed_dim`: channels of the first stage, doubled by each further one. `depths`, `num_heads`: one for each stage.
    `num_query_pool`: how many stages after the first shrink the map, by `query_stride`. `masked_unit_size`: side of a
    unit, in tokens of the stem. `masked_unit_attention`: for each stage, whether attention stays in a unit.
    `drop_path_rate`: of the deepest block in training. `layer_norm_init`, `initializer_range`: initial weight and
    bias of the maps' norms where a checkpoint has none.
    """

    model_type: ClassVar[str] = "hiera"
    derived_fields: ClassVar[frozenset[str]] = frozenset(
        {"hidden_size", "num_layers", "num_hidden_layers", "decoder_hidden_size", "decoder_depth", "decoder_num_heads"}
        | {"normalize_pixel_loss", "mask_ratio"}
    )
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "drop_path_rate", "layer_norm_init", "initializer_range"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    embed_dim: Channels = 96
    image_size: tuple[Side, Side] = (224, 224)
    patch_size: Pair = (7, 7)
    patch_stride: Pair = (4, 4)
    patch_padding: tuple[Annotated[int, Range(0, 64)], Annotated[int, Range(0, 64)]] = (3, 3)
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4.0
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (2, 3, 16, 3)
    num_heads: tuple[Heads, ...] = (1, 2, 4, 8)
    embed_dim_multiplier: Annotated[float, Range(1, 16)] = 2.0
    num_query_pool: Annotated[int, Range(0, 256)] = 3
    query_stride: Pair = (2, 2)
    masked_unit_size: Pair = (8, 8)
    masked_unit_attention: tuple[bool, ...] = (True, True, False, False)
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    num_channels: Channels = 3
    hidden_act: str = "gelu"
    initializer_range: Annotated[float, Range(-1e3, 1e3)] = 0.02
    layer_norm_init: Annotated[float, Range(-1e3, 1e3)] = 1.0
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-6

    def _supported(self) -> list[str]:
        stages = len(self.depths)
        faults = self._refusals({"hidden_act": tuple(ACTIVATIONS), "embed_dim_multiplier": (2.0,)})
        faults += [
            f"hiera config: {name} has {len(getattr(self, name))} values and depths {stages}; they are one for each"
            " stage."
            for name in ("num_heads", "masked_unit_attention")
            if len(getattr(self, name)) != stages
        ]
        if self.num_query_pool >= stages:
            faults.append(f"hiera config: num_query_pool={self.num_query_pool} must be less than the {stages} stages.")
        if faults:
            return faults
        faults += [
            f"hiera config: stage {index + 1} has {self.embed_dim * 2**index} channels, which num_heads={heads} does"
            " not divide."
            for index, heads in enumerate(self.num_heads)
            if (self.embed_dim * 2**index) % heads
        ]
        for axis in range(2):
            whole = self.query_stride[axis] ** (stages - 1)
            if self.grid(0)[axis] % max(whole, 1) or not self.grid(0)[axis]:
                faults.append(
                    f"hiera config: image_size={list(self.image_size)} makes {self.grid(0)[0]} x {self.grid(0)[1]}"
                    f" tokens, which must be multiples of {whole}, the product of all query strides."
                )
                break
        return faults + self._uneven_units()

    def _uneven_units(self) -> list[str]:
        for index in range(len(self.depths)):
            height, width = self.grid(index)
            if self.attends_in_units(index) and (height * width) % max(self.unit_tokens(index), 1):
                return [
                    f"hiera config: masked_unit_size={list(self.masked_unit_size)} does not divide the map of stage"
                    f" {index + 1}, {height} x {width}."
                ]
            if self.unit_tokens(index) < 1:
                return [f"hiera config: masked_unit_size={list(self.masked_unit_size)} is pooled away."]
        return []

    def attends_in_units(self, index: int) -> bool:
        """Whether any block of a stage attends in units; its first block pools as the stage before attends."""
        return self.masked_unit_attention[index] or self.masked_unit_attention[max(index - 1, 0)]

    def poolings(self, index: int) -> int:
        """Number of poolings up to a stage, that stage included."""
        return min(index, self.num_query_pool)

    def unit_tokens(self, index: int) -> int:
        """Tokens of a unit in a stage."""
        area, stride = (pair[0] * pair[1] for pair in (self.masked_unit_size, self.query_stride))
        return int(area * stride**-index)

    def grid(self, index: int) -> tuple[int, int]:
        """(height, width) of a stage's map."""
        height, width = (
            size // stride // pool ** self.poolings(index)
            for size, stride, pool in zip(self.image_size, self.patch_stride, self.query_stride, strict=True)
        )
        return height, width


class ToUnitOrder(nn.Module):
    """A map [batch, height, width, channels] as tokens [batch, height * width, channels] in the order of `poolings`.

    The tokens are stride * stride equal parts, whose tokens at the same index are pooled together by the first pooling;
    each part is sorted in the same way for the next. `poolings`: number of poolings by `stride` (down, right) that
    follow; the map must be a multiple of their product.

    Source: "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", https://arxiv.org/abs/2306.00989.
    """

    def __init__(self, stride: tuple[int, int], poolings: int) -> None:
        super().__init__()
        self.stride, self.poolings = stride, poolings

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        height, width = x.shape[1] // down**self.poolings, x.shape[2] // right**self.poolings
        steps = range(self.poolings)
        x = x.unflatten(2, (width, *(right for _ in steps))).unflatten(1, (height, *(down for _ in steps)))
        # On each axis the position in the last pooled map comes first, then the strides from the last to the first.
        rows, columns = 1, 2 + self.poolings
        strides = [axis + step for step in reversed(range(1, 1 + self.poolings)) for axis in (rows, columns)]
        return x.permute(0, *strides, rows, columns, x.ndim - 1).flatten(1, -2)


class FromUnitOrder(nn.Module):
    """The inverse of `ToUnitOrder`, for tokens that make a map of `grid` (height, width)."""

    def __init__(self, stride: tuple[int, int], poolings: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.poolings, self.grid = stride, poolings, grid

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        height, width = self.grid[0] // down**self.poolings, self.grid[1] // right**self.poolings
        x = x.unflatten(1, (*(down, right) * self.poolings, height, width))
        # [batch, down, right, ..., height, width, channels], the first pooling's strides first
        last = 2 * self.poolings
        rows = [last + 1, *range(last - 1, 0, -2)]
        columns = [last + 2, *range(last, 0, -2)]
        return x.permute(0, *rows, *columns, x.ndim - 1).reshape(x.shape[0], *self.grid, x.shape[-1])


def _levels(config: HieraArchitecture) -> tuple[Level, ...]:
    first = max(config.patch_stride)
    stages = (
        Level(f"stage{i + 1}", config.embed_dim * 2**i, first * max(config.query_stride) ** config.poolings(i))
        for i in range(len(config.depths))
    )
    return (Level("stem", config.embed_dim, first), *stages)


def _construct_body(config: HieraArchitecture, plan: BodyPlan) -> nn.Module:
    stages = max(plan.last, 1)  # timm's Hiera has at least one
    depths = config.depths[:stages]
    body = Hiera(
        img_size=config.image_size,
        in_chans=plan.in_channels,
        embed_dim=config.embed_dim,
        num_classes=0,
        stages=depths,
        q_pool=min(config.num_query_pool, stages - 1),
        q_stride=config.query_stride,
        mask_unit_size=config.masked_unit_size,
        mask_unit_attn=config.masked_unit_attention[:stages],
        patch_kernel=config.patch_size,
        patch_stride=config.patch_stride,
        patch_padding=config.patch_padding,
        mlp_ratio=config.mlp_ratio,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, depths, config.depths),
    )
    blocks: list[Any] = list(body.blocks)
    body.stages = nn.ModuleList()
    for index, depth in enumerate(depths):
        own, blocks = blocks[:depth], blocks[depth:]
        for position, block in enumerate(own):
            _complete(block, config, index, is_first=position == 0)
        body.stages.append(_in_order(own, config, index))
    # The blocks are in the stages now, and the maps do not use the head's norm.
    body.blocks = nn.ModuleList()
    body.head = nn.Identity()  # type: ignore[assignment]
    body.unroll = ToUnitOrder(config.query_stride, len(config.depths) - 1)  # type: ignore[assignment]
    body.reroll = nn.Identity()  # type: ignore[assignment]
    if plan.last == 0:
        body.stages = nn.ModuleList()
    return body


def _in_order(blocks: Sequence[nn.Module], config: HieraArchitecture, index: int) -> nn.Sequential:
    """A stage that takes and returns a map."""
    whole = len(config.depths) - 1
    return nn.Sequential(
        ToUnitOrder(config.query_stride, whole - config.poolings(max(index - 1, 0))),
        *blocks,
        FromUnitOrder(config.query_stride, whole - config.poolings(index), config.grid(index)),
    )


def _complete(block: Any, config: HieraArchitecture, index: int, *, is_first: bool) -> None:
    """Sets what timm's constructor takes for all stages at once, or in another form."""
    block.norm1.eps = block.norm2.eps = config.layer_norm_eps
    block.mlp.act = ACTIVATIONS[config.hidden_act]()
    attention = block.attn
    attention.heads = config.num_heads[index]
    attention.head_dim = attention.dim_out // attention.heads
    attention.scale = attention.head_dim**-0.5
    attention.window_size = config.unit_tokens(index)
    attention.use_mask_unit_attn = config.masked_unit_attention[index] or (is_first and config.attends_in_units(index))


def _embed(body: Hiera, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, height, width, channels]."""
    x = body.patch_embed.proj(pixel_values).permute(0, 2, 3, 1)
    grid = (x.shape[1], x.shape[2])
    check_grid(grid, body.tokens_spatial_shape, "hiera")
    assert body.pos_embed is not None
    return x + body.pos_embed.unflatten(1, grid), grid


def _units(body: Any) -> Sequence[Sequence[nn.Module]]:
    return [list(stage) for stage in body.stages]


def _key_map(config: HieraArchitecture) -> KeyMap:
    # The first module of a stage sorts the tokens, so its blocks start at 1.
    block, ours = "encoder.stages.{i}.layers.{j}", "body.stages.{i}.{j+1}"
    return KeyMap(
        [
            Rename("embeddings.position_embeddings", "body.pos_embed"),
            Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
            Rename(f"{block}.layernorm_before", f"{ours}.norm1"),
            Rename(f"{block}.layernorm_after", f"{ours}.norm2"),
            *(Rename(f"{block}.{name}", f"{ours}.{name}") for name in ("attn", "mlp", "proj")),
            Rename("hidden_states_norms.stem", "norms.stem"),
            Rename("hidden_states_norms.stage{i}", "norms.stage{i}"),
        ],
        drop=["classifier.*", "pooler.*", "decoder.*", "encoder_norm.*", "multiscale_fusion.*"],
        prefixes=["hiera"],
    )


def _stage_of(name: str) -> int | None:
    found = re.match(r"body\.stages\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


def _hidden_state(body: Any, x: Tensor, index: int) -> Tensor:
    """[batch, height, width, channels] -> [batch, height * width, channels], in the order in which units attend."""
    if index == 0:
        return body.unroll(x)
    back: FromUnitOrder = body.stages[index - 1][-1]
    return ToUnitOrder(back.stride, back.poolings)(x)


def _attentions(body: Any) -> Sequence[nn.Module]:
    """The attention of the last block of each stage; after it the stage restores the map."""
    return [stage[-2].attn for stage in body.stages]


def _in_units(module: nn.Module, weights: Tensor) -> Tensor:
    """[batch, heads, units, queries, keys]; attention over the whole map is that of one unit."""
    return weights if weights.ndim == 5 else weights.unsqueeze(2)


FAMILY = Family(
    config_class=HieraArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "per_stage",
    final_norm="never",
    processing=Processing(size=(224, 224), interpolation="bicubic"),
    canvas=lambda config: config.image_size,
    norm_start=lambda config: (config.layer_norm_init, config.initializer_range),
    hidden_state=_hidden_state,
    attentions=_attentions,
    attention_weights=_in_units,
)
