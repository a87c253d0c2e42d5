"""Big Transfer's ResNet, as transformers' `bit` checkpoints have it: standardised convolutions and group normalisation.

Maps are the stages' own outputs; the norm after the last stage is not applied to them.

Source: "Big Transfer (BiT): General Visual Representation Learning", https://arxiv.org/abs/1912.11370;
transformers/models/bit/modeling_bit.py; timm/models/resnetv2.py.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

from timm.layers.norm_act import GroupNormAct
from timm.layers.padding import pad_same
from timm.layers.std_conv import StdConv2d, StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, rate_of_last_built
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

_UNIT = 8  # timm and transformers round channels to multiples of it
_STAGES = 4  # a fifth would go beyond the output stride of 32


@dataclass(kw_only=True)
class BitArchitecture(ArchitectureConfig):
    """`hidden_sizes` and `depths`: channels and blocks of each stage. `layer_type`: normalise before a convolution
    (preactivation) or after it. `global_padding`: SAME pads as TensorFlow does, null symmetrically.
    `embedding_dynamic_padding`: the stem's pooling pads as TensorFlow does. `num_groups`: of each norm.
    `drop_path_rate`: of the deepest block in training.
    """

    model_type: ClassVar[str] = "bit"
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels", "drop_path_rate"})
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    num_channels: Channels = 3
    embedding_size: Channels = 64
    hidden_sizes: tuple[Channels, ...] = (256, 512, 1024, 2048)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (3, 4, 6, 3)
    layer_type: Literal["preactivation", "bottleneck"] = "preactivation"
    hidden_act: str = "relu"
    global_padding: str | None = None
    num_groups: Annotated[int, Range(1, 1_024)] = 32
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    embedding_dynamic_padding: bool = False
    output_stride: Annotated[int, Range(1, 64)] = 32
    width_factor: Annotated[int, Range(1, 64)] = 1

    def __post_init__(self) -> None:
        if isinstance(self.global_padding, str):
            self.global_padding = self.global_padding.upper()
        super().__post_init__()

    def _supported(self) -> list[str]:
        # What is not supported does not run in transformers either, except smaller output strides, where it does not
        # dilate.
        faults = self._refusals(
            {
                "hidden_act": tuple(ACTIVATIONS),
                "global_padding": (None, "SAME"),
                "output_stride": (32,),
                "width_factor": (1,),
            }
        )
        if len(self.hidden_sizes) != len(self.depths) or not 1 <= len(self.depths) <= _STAGES:
            faults.append(
                f"bit config: hidden_sizes has {len(self.hidden_sizes)} values and depths {len(self.depths)}; they are"
                f" one for each stage, of which there are 1 to {_STAGES}."
            )
        for size in (self.embedding_size, *self.hidden_sizes):
            if size % _UNIT:
                faults.append(f"bit config: embedding_size and hidden_sizes are multiples of {_UNIT}, got {size}.")
            elif size % self.num_groups:
                faults.append(f"bit config: num_groups={self.num_groups} does not divide {size} channels.")
        return faults


class ZeroPaddedMaxPool2d(nn.MaxPool2d):
    """A max pooling padded to whole strides with zeros, which take part in the maximum; timm pads with -inf.

    Source: "Big Transfer", https://arxiv.org/abs/1912.11370; transformers/models/bit/modeling_bit.py, BitMaxPool2d.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__(kernel_size, stride)

    def forward(self, input: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, channels, height / stride, width / stride], rounded up."""
        kernel, stride = [self.kernel_size] * 2, [self.stride] * 2
        return super().forward(pad_same(input, kernel, stride))  # type: ignore[arg-type]


def _levels(config: BitArchitecture) -> tuple[Level, ...]:
    stages = (Level(f"stage{i + 1}", size, 4 * 2**i) for i, size in enumerate(config.hidden_sizes))
    return (Level("stem", config.embedding_size, 4), *stages)


def _construct_body(config: BitArchitecture, plan: BodyPlan) -> nn.Module:
    stages = max(plan.last, 1)  # timm's ResNetV2 has at least one
    depths = config.depths[:stages]
    is_same = config.global_padding == "SAME"
    body = ResNetV2(
        list(depths),
        channels=config.hidden_sizes[:stages],
        num_classes=0,
        in_chans=plan.in_channels,
        stem_chs=config.embedding_size,
        preact=config.layer_type == "preactivation",
        act_layer=config.hidden_act,  # type: ignore[arg-type]
        norm_layer=partial(GroupNormAct, num_groups=config.num_groups),
        conv_layer=partial(StdConv2dSame if is_same else StdConv2d, eps=1e-8),
        drop_path_rate=rate_of_last_built(config.drop_path_rate, depths, config.depths),
    )
    body.stem = _stem(dict(body.stem.named_children()), config)
    del body.stages[plan.last :]
    body.norm, body.head = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    return body


def _stem(parts: dict[str, nn.Module], config: BitArchitecture) -> nn.Sequential:
    """The stem. Unlike in timm, zeros are added before the norm, and the pooling itself adds zeros or nothing."""
    stem = OrderedDict(conv=parts["conv"])
    if config.global_padding != "SAME":
        stem["pad"] = nn.ConstantPad2d(1, 0.0)
    if "norm" in parts:
        stem["norm"] = parts["norm"]
    stem["pool"] = ZeroPaddedMaxPool2d(3, 2) if config.embedding_dynamic_padding else nn.MaxPool2d(3, 2)
    return nn.Sequential(stem)


def _embed(body: ResNetV2, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    x = body.stem(pixel_values)
    return x, (x.shape[-2], x.shape[-1])


def _units(body: ResNetV2) -> Sequence[Sequence[nn.Module]]:
    return [list(stage.blocks) for stage in body.stages]  # type: ignore[arg-type]


def _key_map(config: BitArchitecture) -> KeyMap:
    rules: list[Rule] = [
        Rename("embedder.convolution", "body.stem.conv"),
        Rename("embedder.norm", "body.stem.norm"),
        Rename("encoder.stages.{i}.layers.{j}", "body.stages.{i}.blocks.{j}"),
    ]
    whole = KeyMap(rules, drop=["norm.*", "classifier.*"])
    # With the prefix `bit` in a backbone and in a classifier, also when written back; a lone model has no prefix.
    return combine(whole.under("bit", ""), whole)


def _stage_of(name: str) -> int | None:
    found = re.match(r"body\.stages\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


FAMILY = Family(
    config_class=BitArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.stem.conv.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(shortest_edge=448, crop=(448, 448), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    canvas=lambda config: (448, 448),
)
