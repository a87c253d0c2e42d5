"""Swin Transformer, as transformers' `swin` checkpoints have it.

Windows keep their size on maps smaller than a window, every map has a LayerNorm of its own, and stochastic depth drops
only the attention branch.

Source: "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", https://arxiv.org/abs/2103.14030;
transformers/models/swin/modeling_swin.py; timm/models/swin_transformer.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn, roll
from torch.nn.functional import pad

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, EMBEDDINGS, FEEDFORWARD_OUTPUT
from backbonekit.backbones.hf.family import BodyPlan, Family, channels_first
from backbonekit.backbones.hf.field_values import Square, rate_of_last_built, sides
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename, Rule


@dataclass(kw_only=True)
class SwinArchitecture(ArchitectureConfig):
    """`embed_dim`: channels of the first stage, doubled by each further one. `depths`, `num_heads`: one for each stage.
    `window_size`: side of an attention window, in tokens. `drop_path_rate`: of the deepest block in training.
    """

    model_type: ClassVar[str] = "swin"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, ATTENTION_OUTPUT, FEEDFORWARD_OUTPUT),
        "attention_probs_dropout_prob": (ATTENTION,),
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset(
        {"hidden_size", "num_layers", "num_hidden_layers", "path_norm", "encoder_stride", "initializer_range"}
    )
    second_names: ClassVar[Mapping[str, str]] = {"num_attention_heads": "num_heads"}
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "image_size", "drop_path_rate"})
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    image_size: Square = 224
    patch_size: Square = 4
    num_channels: Channels = 3
    embed_dim: Channels = 96
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (2, 2, 6, 2)
    num_heads: tuple[Heads, ...] = (3, 6, 12, 24)
    window_size: Annotated[int, Range(1, 1_024)] = 7
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4.0
    qkv_bias: bool = True
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.1
    hidden_act: str = "gelu"
    use_absolute_embeddings: bool = False
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-5

    def _supported(self) -> list[str]:
        faults = self._refusals(
            {
                "hidden_act": ("gelu",),
                "use_absolute_embeddings": (False,),
            }
        )
        if len(self.depths) != len(self.num_heads) or not self.depths:
            faults.append(
                f"{self.model_type} config: depths has {len(self.depths)} values and num_heads {len(self.num_heads)};"
                " they are one for each stage."
            )
        for index, heads in enumerate(self.num_heads):
            if (self.embed_dim * 2**index) % heads:
                faults.append(
                    f"{self.model_type} config: stage {index + 1} has {self.embed_dim * 2**index} channels, which"
                    f" num_heads={heads} does not divide."
                )
        return faults


class PadThenShiftBlock(SwinTransformerBlock):
    """A block that pads the map to whole windows before it shifts it, as do the original for detection and
    transformers; timm's shifts first. The two agree only where the map is a multiple of the window.

    Source: "Swin Transformer", https://arxiv.org/abs/2103.14030;
    https://github.com/SwinTransformer/Swin-Transformer-Object-Detection, mmdet/models/backbones/swin_transformer.py.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels], normalised. The same shape."""
        _, height, width, channels = x.shape
        window_height, window_width = self.window_size
        x = pad(x, (0, 0, 0, -width % window_width, 0, -height % window_height))
        _, padded_height, padded_width, _ = x.shape
        shift_down, shift_right = self.shift_size
        is_shifted = shift_down > 0 or shift_right > 0
        if is_shifted:
            x = roll(x, shifts=(-shift_down, -shift_right), dims=(1, 2))
        # [windows * batch, tokens in a window, channels]
        windows = window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=self.get_attn_mask(x))
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, padded_height, padded_width)
        if is_shifted:
            x = roll(x, shifts=(shift_down, shift_right), dims=(1, 2))
        return x[:, :height, :width].reshape(-1, height, width, channels)


def levels(config: SwinArchitecture) -> tuple[Level, ...]:
    """Stem and stages; the stem is the normalised patch embedding."""
    patch = max(sides(config.patch_size))
    stages = (Level(f"stage{i + 1}", config.embed_dim * 2**i, patch * 2**i) for i in range(len(config.depths)))
    return (Level("stem", config.embed_dim, patch), *stages)


def construct_body(config: SwinArchitecture, plan: BodyPlan) -> nn.Module:
    """timm's Swin without the modules after the last built stage."""
    stages = max(plan.last, 1)  # timm's Swin has at least one
    depths = config.depths[:stages]
    body = SwinTransformer(
        img_size=sides(config.image_size),
        patch_size=sides(config.patch_size),  # type: ignore[arg-type]
        in_chans=plan.in_channels,
        num_classes=0,
        embed_dim=config.embed_dim,
        depths=depths,
        num_heads=config.num_heads[:stages],
        window_size=config.window_size,
        always_partition=True,
        strict_img_size=False,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=config.qkv_bias,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, depths, config.depths),
    )
    body.patch_embed.dynamic_img_pad = True  # type: ignore[assignment]
    for stage in body.layers:
        for block in stage.blocks:  # type: ignore[union-attr]
            block.__class__ = PadThenShiftBlock  # no new state, only the order of two steps
            block.attn.fused_attn = True  # off in timm; torch's own is faster, and used by transformers
            block.drop_path2 = nn.Identity()
            block.norm1.eps = block.norm2.eps = config.layer_norm_eps
    is_whole = stages == len(config.depths)
    body.norm.eps = config.layer_norm_eps  # type: ignore[assignment]
    if not (plan.final_norm and is_whole):
        body.norm = nn.Identity()  # type: ignore[assignment]
    if plan.last == 0:
        body.layers = nn.Sequential()
    return body


def embed(body: SwinTransformer, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, height, width, channels]."""
    x = body.patch_embed(pixel_values)
    return x, (x.shape[1], x.shape[2])


def units(body: SwinTransformer) -> Sequence[Sequence[nn.Module]]:
    """The modules of each stage. A stage starts with its patch merging; that of the first is the identity."""
    return [[stage.downsample, *stage.blocks] for stage in body.layers]  # type: ignore[union-attr]


def block_rules() -> list[Rule]:
    """The rules for all weights but those of the output norms."""
    block, ours = "encoder.layers.{i}.blocks.{j}", "body.layers.{i}.blocks.{j}"
    table = "relative_position_bias_table"
    classic = [f"{block}.attention.self.{name}" for name in ("query", "key", "value")]
    modern = [f"{block}.attention.{name}_proj" for name in ("q", "k", "v")]
    return [
        Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
        Rename("embeddings.norm", "body.patch_embed.norm"),
        Rename("encoder.layers.{i}.downsample", "body.layers.{i+1}.downsample"),
        Rename(f"{block}.layernorm_before", f"{ours}.norm1"),
        Rename(f"{block}.layernorm_after", f"{ours}.norm2"),
        Join(classic, f"{ours}.attn.qkv"),
        Rename(f"{block}.attention.self.{table}", f"{ours}.attn.{table}"),
        Rename(f"{block}.attention.output.dense", f"{ours}.attn.proj"),
        Rename(f"{block}.intermediate.dense", f"{ours}.mlp.fc1"),
        Rename(f"{block}.output.dense", f"{ours}.mlp.fc2"),
        # As transformers 5 names them in memory.
        Join(modern, f"{ours}.attn.qkv"),
        Rename(f"{block}.attention.relative_position_bias.{table}", f"{ours}.attn.{table}"),
        Rename(f"{block}.attention.o_proj", f"{ours}.attn.proj"),
        Rename(f"{block}.mlp.fc1", f"{ours}.mlp.fc1"),
        Rename(f"{block}.mlp.fc2", f"{ours}.mlp.fc2"),
        Rename("layernorm", "body.norm"),
    ]


DROPPED = ("classifier.*", "decoder.*", "pooler.*", "embeddings.mask_token", "*relative_position_index")


def _key_map(config: SwinArchitecture) -> KeyMap:
    norms = [
        Rename("hidden_states_norms.stem", "norms.stem"),
        Rename("hidden_states_norms.stage{i}", "norms.stage{i}"),
    ]
    return KeyMap([*block_rules(), *norms], drop=DROPPED, prefixes=["swin"])


def stage_of(name: str) -> int | None:
    """The stage of a weight, read from `body.layers.N`; the final norm belongs to none."""
    if name.startswith("body.norm."):
        return None
    found = re.match(r"body\.layers\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


def canvas(config: SwinArchitecture) -> tuple[int, int]:
    """The size that the weights were trained at."""
    return sides(config.image_size)


def attentions(body: Any) -> Sequence[nn.Module]:
    """The attention of the last block of each stage."""
    return [stage.blocks[-1].attn for stage in body.layers]


FAMILY = Family(
    config_class=SwinArchitecture,
    levels=levels,
    construct_body=construct_body,
    embed=embed,
    units=units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "per_stage",
    final_norm="last",
    processing=Processing(size=(224, 224), interpolation="bicubic"),
    canvas=canvas,
    hidden_state=channels_first,
    attentions=attentions,
)
