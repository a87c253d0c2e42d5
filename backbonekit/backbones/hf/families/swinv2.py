"""Swin Transformer V2, as transformers' `swinv2` checkpoints have it.

A stage whose map, at the configuration's `image_size`, is no larger than the window has one window of the map's height
and no shift; images of other sizes keep these windows. No norm is applied to the maps.

Source: "Swin Transformer V2: Scaling Up Capacity and Resolution", https://arxiv.org/abs/2111.09883;
transformers/models/swinv2/modeling_swinv2.py; timm/models/swin_transformer_v2.py; the rest as in `swin.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2, SwinTransformerV2Block, window_partition, window_reverse
from torch import Tensor, nn, roll
from torch.nn.functional import pad

from backbonekit.backbones.cosine_attention import finite_in_float16
from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, EMBEDDINGS, FEEDFORWARD_OUTPUT
from backbonekit.backbones.hf.families import swin
from backbonekit.backbones.hf.family import BodyPlan, Family, flatten_positions
from backbonekit.backbones.hf.field_values import rate_of_last_built, sides
from backbonekit.contract.options import Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import Join, KeyMap, Rename


@dataclass(kw_only=True)
class Swinv2Architecture(swin.SwinArchitecture):
    """`embed_dim`: channels of the first stage, doubled by each further one. `depths`, `num_heads`: one for each stage.
    `window_size`: side of an attention window, in tokens. `pretrained_window_sizes`: the window size that scales
    the relative positions, for each stage; 0 for the window's own. `drop_path_rate`: of the deepest block in training.
    """

    model_type: ClassVar[str] = "swinv2"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, FEEDFORWARD_OUTPUT),
        "attention_probs_dropout_prob": (ATTENTION, ATTENTION_OUTPUT),
    }

    pretrained_window_sizes: tuple[Annotated[int, Range(0, 1_024)], ...] = (0, 0, 0, 0)

    def _supported(self) -> list[str]:
        faults = super()._supported()
        if len(self.pretrained_window_sizes) < len(self.depths):
            faults.append(
                f"swinv2 config: pretrained_window_sizes has {len(self.pretrained_window_sizes)} values and depths"
                f" {len(self.depths)}; they are one for each stage."
            )
        if 1 in self.pretrained_window_sizes:
            faults.append("swinv2 config: a pretrained window of 1 has no positions to measure in; use 0.")
        if self.depths and self.map_height(len(self.depths) - 1) < 1:
            faults.append(
                f"swinv2 config: image_size={self.image_size} leaves nothing of the map in {len(self.depths)} stages;"
                f" it must be at least {sides(self.patch_size)[0] * 2 ** (len(self.depths) - 1)}."
            )
        return faults

    def map_height(self, index: int) -> int:
        """Tokens from top to bottom of a stage's map, rounded down, at `image_size`."""
        return sides(self.image_size)[0] // sides(self.patch_size)[0] // 2**index


class PadThenShiftV2Block(SwinTransformerV2Block):
    """A block that pads the map to whole windows before it shifts it, as in transformers; timm's shifts first. The two
    agree only where the map is a multiple of the window.

    transformers adds the mask between shifted windows twice, in its whole model and in its backbone, as here.

    Source: "Swin Transformer V2", https://arxiv.org/abs/2111.09883; transformers/models/swinv2/modeling_swinv2.py.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        _, height, width, channels = x.shape
        window_height, window_width = self.window_size
        x = pad(x, (0, 0, 0, -width % window_width, 0, -height % window_height))
        padded = (x.shape[1], x.shape[2])
        shift_down, shift_right = self.shift_size
        mask: Tensor | None = None
        if shift_down > 0:
            x = roll(x, shifts=(-shift_down, -shift_right), dims=(1, 2))
            mask = 2 * self._mask(x)
        # [windows * batch, tokens in a window, channels]
        windows = window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=mask)
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, padded)
        if shift_down > 0:
            x = roll(x, shifts=(shift_down, shift_right), dims=(1, 2))
        return x[:, :height, :width].reshape(-1, height, width, channels)

    def _mask(self, x: Tensor) -> Tensor:
        mask = self.get_attn_mask(x)
        assert isinstance(mask, torch.Tensor), "a shifted block has a mask"
        return mask


def _construct_body(config: Swinv2Architecture, plan: BodyPlan) -> nn.Module:
    stages = max(plan.last, 1)  # timm's Swin has at least one
    depths = config.depths[:stages]
    body = SwinTransformerV2(
        img_size=sides(config.image_size),
        patch_size=sides(config.patch_size),  # type: ignore[arg-type]
        in_chans=plan.in_channels,
        num_classes=0,
        embed_dim=config.embed_dim,
        depths=depths,
        num_heads=config.num_heads[:stages],
        window_size=[(side, side) for side in (min(config.map_height(i), config.window_size) for i in range(stages))],
        always_partition=True,
        strict_img_size=False,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=config.qkv_bias,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, depths, config.depths),
        pretrained_window_sizes=config.pretrained_window_sizes[:stages],
    )
    body.patch_embed.dynamic_img_pad = True  # type: ignore[assignment]
    for index, stage in enumerate(body.layers):
        for block in stage.blocks:  # type: ignore[union-attr]
            block.__class__ = PadThenShiftV2Block  # no new state, only the order of two steps
            if config.map_height(index) <= config.window_size:
                block.shift_size = (0, 0)
            block.norm1.eps = block.norm2.eps = config.layer_norm_eps
    body.norm.eps = config.layer_norm_eps  # type: ignore[assignment]
    if not (plan.final_norm and stages == len(config.depths)):
        body.norm = nn.Identity()  # type: ignore[assignment]
    if plan.last == 0:
        body.layers = nn.Sequential()
    return finite_in_float16(body)


def _key_map(config: Swinv2Architecture) -> KeyMap:
    block, ours = "encoder.layers.{i}.blocks.{j}", "body.layers.{i}.blocks.{j}"
    attention = f"{block}.attention.self"
    return KeyMap(
        [
            Rename("embeddings.patch_embeddings.projection", "body.patch_embed.proj"),
            Rename("embeddings.norm", "body.patch_embed.norm"),
            Rename("encoder.layers.{i}.downsample", "body.layers.{i+1}.downsample"),
            Rename(f"{block}.layernorm_before", f"{ours}.norm1"),
            Rename(f"{block}.layernorm_after", f"{ours}.norm2"),
            # Keys have no bias.
            Join([f"{attention}.{name}.weight" for name in ("query", "key", "value")], f"{ours}.attn.qkv.weight"),
            Rename(f"{attention}.query.bias", f"{ours}.attn.q_bias"),
            Rename(f"{attention}.value.bias", f"{ours}.attn.v_bias"),
            Rename(f"{attention}.logit_scale", f"{ours}.attn.logit_scale"),
            Rename(f"{attention}.continuous_position_bias_mlp", f"{ours}.attn.cpb_mlp"),
            Rename(f"{block}.attention.output.dense", f"{ours}.attn.proj"),
            Rename(f"{block}.intermediate.dense", f"{ours}.mlp.fc1"),
            Rename(f"{block}.output.dense", f"{ours}.mlp.fc2"),
            Rename("layernorm", "body.norm"),
        ],
        drop=[*swin.DROPPED, "*relative_coords_table"],
        prefixes=["swinv2"],
    )


FAMILY = Family(
    config_class=Swinv2Architecture,
    levels=swin.levels,
    construct_body=_construct_body,
    embed=swin.embed,
    units=swin.units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=swin.stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "none",
    final_norm="last",
    processing=Processing(size=(256, 256), interpolation="bicubic"),
    canvas=swin.canvas,
    hidden_state=flatten_positions,
    attentions=swin.attentions,
)
