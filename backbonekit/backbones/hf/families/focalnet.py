"""FocalNet, as transformers' `focalnet` checkpoints have it.

A stage ends with the downsampling in front of the next one, so the maps have strides of 4, 8, 16, 32 and 32, and
the channels of the next stage. Images and maps are padded to whole patches, also before overlapping convolutions.

Source: "Focal Modulation Networks", https://arxiv.org/abs/2203.11926;
transformers/models/focalnet/modeling_focalnet.py; timm/models/focalnet.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from timm.layers.norm import LayerNorm2d
from timm.models.focalnet import Downsample, FocalNet
from torch import Tensor, nn
from torch.nn.functional import pad

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import EMBEDDINGS, FEEDFORWARD_INNER, FEEDFORWARD_OUTPUT, MODULATION
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, rate_of_last_built, sides
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Probability, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, Reshape, Rule, combine

_PATCH = 4  # written into timm's FocalNet


@dataclass(kw_only=True)
class FocalNetArchitecture(ArchitectureConfig):
    """`embed_dim`: channels of the first stage's blocks, doubled by each further one. `depths`, `focal_levels`,
    `focal_windows`: for each stage, its blocks, the focal levels of each block, and the window of the smallest.
    `use_conv_embed`: overlapping patches. `use_post_layernorm`: normalise after a branch instead of before it.
    `normalize_modulator`: the mean of the focal levels instead of their sum. `drop_path_rate`: of the deepest block in
    training. `hidden_sizes`: not used.
    """

    model_type: ClassVar[str] = "focalnet"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, MODULATION, FEEDFORWARD_INNER, FEEDFORWARD_OUTPUT)
    }
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range", "encoder_stride"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layerscale_value", "hidden_sizes"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    image_size: Square = 224
    patch_size: Square = _PATCH
    num_channels: Channels = 3
    embed_dim: Channels = 96
    use_conv_embed: bool = False
    hidden_sizes: tuple[Channels, ...] = (192, 384, 768, 768)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (2, 2, 6, 2)
    focal_levels: tuple[Annotated[int, Range(1, 64)], ...] = (2, 2, 2, 2)
    focal_windows: tuple[Annotated[int, Range(1, 255)], ...] = (3, 3, 3, 3)
    hidden_act: str = "gelu"
    mlp_ratio: Annotated[float, Range(0.01, 64)] = 4.0
    hidden_dropout_prob: Probability = 0.0
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.1
    use_layerscale: bool = False
    layerscale_value: Annotated[float, Range(-1e3, 1e3)] = 1e-4
    use_post_layernorm: bool = False
    use_post_layernorm_in_modulation: bool = False
    normalize_modulator: bool = False
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-5

    def _supported(self) -> list[str]:
        faults = self._refusals(
            {
                "hidden_act": tuple(ACTIVATIONS),
                "patch_size": (_PATCH, (_PATCH, _PATCH)),
            }
        )
        for name in ("focal_levels", "focal_windows"):
            if len(getattr(self, name)) != len(self.depths) or not self.depths:
                faults.append(
                    f"focalnet config: {name} has {len(getattr(self, name))} values and depths {len(self.depths)}; they"
                    " are one for each stage."
                )
        if any(window % 2 == 0 for window in self.focal_windows):
            faults.append("focalnet config: focal_windows must be odd, or contexts and map have no common size.")
        return faults


class PaddedDownsample(Downsample):
    """timm's downsampling of a map that is padded with zeros to whole patches, on the right and below.

    Source: transformers/models/focalnet/modeling_focalnet.py, FocalNetPatchEmbeddings.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, channels, height / stride, width / stride], rounded up."""
        height, width = x.shape[-2:]
        return super().forward(pad(x, (0, -width % self.stride, 0, -height % self.stride)))


def _levels(config: FocalNetArchitecture) -> tuple[Level, ...]:
    last = len(config.depths) - 1
    levels = [Level("stem", config.embed_dim, _PATCH)]
    for index in range(len(config.depths)):
        scale = 2 ** min(index + 1, last)
        levels.append(Level(f"stage{index + 1}", config.embed_dim * scale, _PATCH * scale))
    return tuple(levels)


def _construct_body(config: FocalNetArchitecture, plan: BodyPlan) -> nn.Module:
    built = config.depths[: plan.last]
    # One more stage without blocks: its downsampling is the end of the last stage in transformers.
    depths = built if plan.last == len(config.depths) else (*built, 0)
    body = FocalNet(
        in_chans=plan.in_channels,
        num_classes=0,
        embed_dim=config.embed_dim,
        depths=depths,
        mlp_ratio=config.mlp_ratio,
        focal_levels=config.focal_levels,
        focal_windows=config.focal_windows,
        use_overlap_down=config.use_conv_embed,
        use_post_norm=config.use_post_layernorm,
        use_post_norm_in_modulation=config.use_post_layernorm_in_modulation,
        normalize_modulator=config.normalize_modulator,
        layerscale_value=config.layerscale_value if config.use_layerscale else None,
        drop_path_rate=rate_of_last_built(config.drop_path_rate, built, config.depths),
        norm_layer=partial(LayerNorm2d, eps=config.layer_norm_eps),  # type: ignore[arg-type]
    )
    body.norm, body.head = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    for module in body.modules():
        if isinstance(module, Downsample):
            module.__class__ = PaddedDownsample  # no new state, only padding before it
    if config.hidden_act != "gelu":
        for layer in body.layers:
            for block in layer.blocks:  # type: ignore[union-attr]
                block.mlp.act = ACTIVATIONS[config.hidden_act]()
    return body


def _embed(body: FocalNet, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    x = body.stem(pixel_values)
    return x, (x.shape[-2], x.shape[-1])


def _units(body: FocalNet) -> Sequence[Sequence[nn.Module]]:
    downsamples: list[list[nn.Module]] = [[layer.get_submodule("downsample")] for layer in body.layers][1:]
    stages = [list(layer.get_submodule("blocks").children()) for layer in body.layers]
    return [[*blocks, *after] for blocks, after in zip(stages, [*downsamples, []], strict=True) if blocks]


def _linear(foreign: str, ours: str) -> list[Rule]:
    """Rules from a linear layer of transformers to a 1 x 1 convolution here."""
    weight = Reshape(
        f"{foreign}.weight",
        f"{ours}.weight",
        ours_shape=lambda shape: (*shape, 1, 1),
        foreign_shape=lambda shape: shape[:2],
    )
    return [weight, Rename(f"{foreign}.bias", f"{ours}.bias")]


def _key_map(config: FocalNetArchitecture) -> KeyMap:
    block, ours = "encoder.stages.{i}.layers.{j}", "body.layers.{i}.blocks.{j}"
    after = "_post" if config.use_post_layernorm else ""
    rules: list[Rule] = [
        Rename("embeddings.patch_embeddings.projection", "body.stem.proj"),
        Rename("embeddings.norm", "body.stem.norm"),
        Rename("encoder.stages.{i}.downsample.projection", "body.layers.{i+1}.downsample.proj"),
        Rename("encoder.stages.{i}.downsample.norm", "body.layers.{i+1}.downsample.norm"),
        Rename(f"{block}.norm{{n}}", f"{ours}.norm{{n}}{after}"),
        Rename(f"{block}.gamma_{{n}}", f"{ours}.ls{{n}}.gamma"),
        *_linear(f"{block}.mlp.fc{{n}}", f"{ours}.mlp.fc{{n}}"),
        *_linear(f"{block}.modulation.projection_in", f"{ours}.modulation.f"),
        *_linear(f"{block}.modulation.projection_out", f"{ours}.modulation.proj"),
        Rename(f"{block}.modulation.projection_context", f"{ours}.modulation.h"),
        Rename(f"{block}.modulation.focal_layers", f"{ours}.modulation.focal_layers"),
        Rename(f"{block}.modulation.layernorm", f"{ours}.modulation.norm"),
    ]
    whole = KeyMap(rules, drop=["layernorm.*", "classifier.*", "decoder.*", "embeddings.mask_token"])
    # Under `focalnet` in a backbone and in a classifier, which is also how it is written back; a lone model has no
    # prefix.
    return combine(whole.under("focalnet", ""), whole)


def _stage_of(name: str) -> int | None:
    found = re.match(r"body\.layers\.(\d+)\.(\w+)", name)
    if found is None:
        return 0
    return int(found.group(1)) + (found.group(2) == "blocks")


def _hidden_state(body: FocalNet, x: Tensor, index: int) -> Tensor:
    """[batch, channels, height, width] -> [batch, height * width, channels]."""
    return x.flatten(2).transpose(1, 2)


FAMILY = Family(
    config_class=FocalNetArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.stem.proj.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic"),
    canvas=lambda config: sides(config.image_size),
    hidden_state=_hidden_state,
)
