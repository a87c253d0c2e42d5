"""HGNetV2, the backbone of D-FINE, as transformers' `hgnet_v2` checkpoints have it.

The levels have the channels of the maps. transformers states `embedding_size` and `hidden_sizes` instead, which in its
own default configuration are not those of its maps.

Source: PP-HGNet V2, https://github.com/PaddlePaddle/PaddleClas, ppcls/arch/backbone/legendary_models/pp_hgnet_v2.py;
"D-FINE", https://arxiv.org/abs/2410.13842; transformers/models/hgnet_v2/modeling_hgnet_v2.py; timm/models/hgnet.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from timm.models.hgnet import HighPerfGpuNet
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, Rule

_STAGES = 4  # written into timm's HighPerfGpuNet
_STEM = ("stem1", "stem2a", "stem2b", "stem3", "stem4")
_STEM_STRIDES = (2, 1, 1, 2, 1)
_LISTS = (
    "stage_in_channels",
    "stage_mid_channels",
    "stage_out_channels",
    "stage_num_blocks",
    "stage_downsample",
    "stage_light_block",
    "stage_kernel_size",
    "stage_numb_of_layers",
)

Blocks = Annotated[int, Range(1, 200)]
Stride = Annotated[int, Range(1, 64)]


@dataclass(kw_only=True)
class HGNetV2Architecture(ArchitectureConfig):
    """The lists hold one value for each stage: channels that enter it, of each layer inside a block, and that leave it;
    `stage_num_blocks` blocks of `stage_numb_of_layers` layers, whose outputs are concatenated at the block's end.
    `stage_downsample`: whether a stage starts by halving. `stage_light_block`: layers of a pointwise and a depthwise
    convolution. `stem_channels`: of the images (`num_channels` is used instead), inside the stem, and after it.
    `hidden_act`: of the stem; in the stages it is always ReLU. `use_learnable_affine_block`: a scale and a shift after
    each activation. `embedding_size`, `depths`, `hidden_sizes`: not used, except for the number of stages.
    """

    model_type: ClassVar[str] = "hgnet_v2"
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "embedding_size", "depths", "hidden_sizes"})

    num_channels: Channels = 3
    embedding_size: Channels = 64
    depths: tuple[Blocks, ...] = (3, 4, 6, 3)
    hidden_sizes: tuple[Channels, ...] = (256, 512, 1024, 2048)
    hidden_act: str = "relu"
    stem_channels: tuple[Channels, Channels, Channels] = (3, 32, 48)
    stem_strides: tuple[Stride, ...] = _STEM_STRIDES
    stage_in_channels: tuple[Channels, ...] = (48, 128, 512, 1024)
    stage_mid_channels: tuple[Channels, ...] = (48, 96, 192, 384)
    stage_out_channels: tuple[Channels, ...] = (128, 512, 1024, 2048)
    stage_num_blocks: tuple[Blocks, ...] = (1, 1, 3, 1)
    stage_downsample: tuple[bool, ...] = (False, True, True, True)
    stage_downsample_strides: tuple[Stride, ...] = (2, 2, 2, 2)
    stage_light_block: tuple[bool, ...] = (False, False, True, True)
    stage_kernel_size: tuple[Annotated[int, Range(1, 63)], ...] = (3, 3, 5, 5)
    stage_numb_of_layers: tuple[Blocks, ...] = (6, 6, 6, 6)
    use_learnable_affine_block: bool = False

    def to_mapping(self) -> dict[str, Any]:
        """With the images' number of channels in both fields that transformers reads."""
        return {**super().to_mapping(), "stem_channels": [self.num_channels, *self.stem_channels[1:]]}

    def _supported(self) -> list[str]:
        faults = self._refusals({"hidden_act": tuple(ACTIVATIONS), "stem_strides": (_STEM_STRIDES,)})
        stages = len(self.depths)
        for name in _LISTS:
            if len(getattr(self, name)) != stages or stages > _STAGES or not stages:
                faults.append(
                    f"hgnet_v2 config: {name} has {len(getattr(self, name))} values and depths {stages}; they are one"
                    f" for each stage, of which there are 1 to {_STAGES}."
                )
        if any(stride != 2 for stride in self.stage_downsample_strides[:stages]):
            faults.append(
                "hgnet_v2 config: stage_downsample_strides other than 2 are not supported. Use source:"
                " transformers for them."
            )
        if any(size % 2 == 0 for size in self.stage_kernel_size):
            faults.append("hgnet_v2 config: stage_kernel_size must be odd, or a block's layers have no common size.")
        flow = (self.stem_channels[2], *self.stage_out_channels)
        for stage, (entering, given) in enumerate(zip(self.stage_in_channels, flow, strict=False)):
            if entering != given:
                faults.append(
                    f"hgnet_v2 config: stage_in_channels[{stage}] is {entering}, but {given} channels arrive there."
                )
        return faults


def _levels(config: HGNetV2Architecture) -> tuple[Level, ...]:
    levels = [Level("stem", config.stem_channels[2], 4)]
    for index, channels in enumerate(config.stage_out_channels):
        halves = config.stage_downsample[index]
        levels.append(Level(f"stage{index + 1}", channels, levels[-1].stride * (2 if halves else 1)))
    return tuple(levels)


def _construct_body(config: HGNetV2Architecture, plan: BodyPlan) -> nn.Module:
    # Stages that are not built have no blocks and one or two channels until they are removed.
    stages: list[list[int | bool]] = [[1, 1, 2, 0, False, False, 1, 1] for _ in range(_STAGES)]
    for index in range(plan.last):
        stages[index] = [getattr(config, name)[index] for name in _LISTS]
    body = HighPerfGpuNet(
        {
            "stem_type": "v2",
            "stem_chs": list(config.stem_channels[1:]),
            **{f"stage{index + 1}": stage for index, stage in enumerate(stages)},
        },
        in_chans=plan.in_channels,
        num_classes=0,
        head_hidden_size=None,
        use_lab=config.use_learnable_affine_block,
    )
    del body.stages[plan.last :]
    body.head = nn.Identity()  # type: ignore[assignment]
    if config.hidden_act != "relu":
        for name in _STEM:
            body.stem.get_submodule(name).act = ACTIVATIONS[config.hidden_act]()
    return body


def _embed(body: HighPerfGpuNet, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    x = body.stem(pixel_values)
    return x, (x.shape[-2], x.shape[-1])


def _units(body: HighPerfGpuNet) -> Sequence[Sequence[nn.Module]]:
    return [[stage.downsample, *stage.blocks] for stage in body.stages]  # type: ignore[union-attr]


def _layer(foreign: str, ours: str) -> list[Rule]:
    """Rules for the convolution, the norm and the affine block of a layer."""
    return [
        Rename(f"{foreign}.convolution", f"{ours}.conv"),
        Rename(f"{foreign}.normalization", f"{ours}.bn"),
        Rename(f"{foreign}.lab", f"{ours}.lab"),
    ]


def _key_map(config: HGNetV2Architecture) -> KeyMap:
    block, ours = "encoder.stages.{i}.blocks.{j}", "body.stages.{i}.blocks.{j}"
    rules: list[Rule] = []
    for name in _STEM:
        rules += _layer(f"embedder.{name}", f"body.stem.{name}")
    rules += _layer("encoder.stages.{i}.downsample", "body.stages.{i}.downsample")
    rules += _layer(f"{block}.aggregation.{{k}}", f"{ours}.aggregation.{{k}}")
    rules += _layer(f"{block}.layers.{{k}}", f"{ours}.layers.{{k}}")
    rules += _layer(f"{block}.layers.{{k}}.conv{{n}}", f"{ours}.layers.{{k}}.conv{{n}}")
    return KeyMap(rules, drop=["fc.*"], prefixes=["hgnetv2"])


def _stage_of(name: str) -> int | None:
    found = re.match(r"body\.stages\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


FAMILY = Family(
    config_class=HGNetV2Architecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.stem.stem1.conv.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(size=(640, 640), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    canvas=lambda config: (640, 640),
)
