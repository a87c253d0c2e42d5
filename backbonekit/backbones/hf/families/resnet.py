"""ResNet, as transformers' `resnet` checkpoints have it: basic or bottleneck blocks, strides set by two flags.

Source: "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385;
transformers/models/resnet/modeling_resnet.py; timm/models/resnet.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from timm.models.resnet import BasicBlock, Bottleneck, ResNet, downsample_conv
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename

_STEM_CHANNELS = 64  # written into timm's ResNet


@dataclass(kw_only=True)
class ResNetArchitecture(ArchitectureConfig):
    """`hidden_sizes` and `depths`: channels and blocks of each stage. `hidden_act`: after the stem and after each
    block; inside a block it is always ReLU. `downsample_in_first_stage`: halve in stage 1 too.
    `downsample_in_bottleneck`: halve in the first convolution of a bottleneck instead of the second.
    """

    model_type: ClassVar[str] = "resnet"
    free_fields: ClassVar[frozenset[str]] = frozenset({"num_channels"})

    num_channels: Channels = 3
    embedding_size: Channels = _STEM_CHANNELS
    hidden_sizes: tuple[Channels, ...] = (256, 512, 1024, 2048)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (3, 4, 6, 3)
    layer_type: Literal["bottleneck", "basic"] = "bottleneck"
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False

    def _supported(self) -> list[str]:
        return self._refusals({"embedding_size": (_STEM_CHANNELS,)}) + self._stage_faults()

    def _stage_faults(self) -> list[str]:
        faults = self._refusals({"hidden_act": tuple(ACTIVATIONS)})
        if len(self.hidden_sizes) != len(self.depths) or not self.depths:
            faults.append(
                f"{self.model_type} config: hidden_sizes has {len(self.hidden_sizes)} values and depths"
                f" {len(self.depths)}; they are one for each stage."
            )
        uneven = [size for size in self.hidden_sizes if size % self.expansion]
        if uneven:
            faults.append(
                f"{self.model_type} config: hidden_sizes of bottleneck layers are multiples of {self.expansion}, got"
                f" {uneven[0]}."
            )
        return faults

    @property
    def expansion(self) -> int:
        """Ratio of the channels of a block's output to those inside it."""
        return 4 if self.layer_type == "bottleneck" else 1


def levels(config: ResNetArchitecture) -> tuple[Level, ...]:
    """Stem and stages; the stem is the pooled one."""
    first = 8 if config.downsample_in_first_stage else 4
    stages = (Level(f"stage{i + 1}", size, first * 2**i) for i, size in enumerate(config.hidden_sizes))
    return (Level("stem", config.embedding_size, 4), *stages)


def _construct_body(config: ResNetArchitecture, plan: BodyPlan) -> nn.Module:
    body = construct_stages(config, plan)
    if config.downsample_in_first_stage:
        _halve(body.get_submodule("layer1.0"), config)
    finish_body(body, config, plan)
    return body


def construct_stages(config: ResNetArchitecture, plan: BodyPlan, *, deep_stem_width: int | None = None) -> ResNet:
    """timm's ResNet without the modules after the last built stage.

    `deep_stem_width`: channels of the first two of three small convolutions instead of one large one.
    """
    stages = max(plan.last, 1)  # timm's ResNet has at least one,
    is_lone_block = sum(config.depths[:stages]) == 1  # and at least two blocks
    body = ResNet(
        Bottleneck if config.layer_type == "bottleneck" else BasicBlock,  # type: ignore[arg-type]
        (2,) if is_lone_block else config.depths[:stages],
        num_classes=0,
        in_chans=plan.in_channels,
        channels=tuple(size // config.expansion for size in config.hidden_sizes[:stages]),
        stem_type="" if deep_stem_width is None else "deep",
        stem_width=deep_stem_width or _STEM_CHANNELS,
    )
    if is_lone_block:
        del body.layer1[1]  # type: ignore[union-attr]
    return body


def finish_body(body: ResNet, config: ResNetArchitecture, plan: BodyPlan) -> None:
    """Sets activations and strides as in the configuration, and removes the stage where only the stem is built."""
    if config.downsample_in_bottleneck and config.layer_type == "bottleneck":
        for _, layer in _layers(body):
            first = layer.get_submodule("0")
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride  # type: ignore[union-attr]
    if config.hidden_act != "relu":
        _set_activation(body, config)
    if plan.last == 0:
        del body.layer1


def _halve(block: nn.Module, config: ResNetArchitecture) -> None:
    """Sets a stride of 2 in a block that timm builds with a stride of 1."""
    convolution = block.conv2 if config.layer_type == "bottleneck" else block.conv1
    convolution.stride = (2, 2)  # type: ignore[union-attr]
    if block.downsample is None:
        block.downsample = downsample_conv(_STEM_CHANNELS, config.hidden_sizes[0], kernel_size=1, stride=2)
    else:
        block.downsample[0].stride = (2, 2)  # type: ignore[index]


def _set_activation(body: nn.Module, config: ResNetArchitecture) -> None:
    activation = ACTIVATIONS[config.hidden_act]
    last = "act3" if config.layer_type == "bottleneck" else "act2"
    body.act1 = activation()
    for _, layer in _layers(body):
        for block in layer.children():
            setattr(block, last, activation())


def _layers(body: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in body.named_children() if name.startswith("layer")]


def embed(body: ResNet, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, channels, height, width], pooled."""
    x = body.maxpool(body.act1(body.bn1(body.conv1(pixel_values))))
    return x, (x.shape[-2], x.shape[-1])


def units(body: nn.Module) -> Sequence[Sequence[nn.Module]]:
    """The blocks of each stage."""
    return [list(layer.children()) for _, layer in _layers(body)]


def _key_map(config: ResNetArchitecture) -> KeyMap:
    block = "encoder.stages.{i}.layers.{j}"
    ours = "body.layer{i+1}.{j}"
    return KeyMap(
        [
            Rename("embedder.embedder.convolution", "body.conv1"),
            Rename("embedder.embedder.normalization", "body.bn1"),
            Rename(f"{block}.layer.{{k}}.convolution", f"{ours}.conv{{k+1}}"),
            Rename(f"{block}.layer.{{k}}.normalization", f"{ours}.bn{{k+1}}"),
            Rename(f"{block}.shortcut.convolution", f"{ours}.downsample.0"),
            Rename(f"{block}.shortcut.normalization", f"{ours}.downsample.1"),
        ],
        drop=["classifier.*"],
        prefixes=["resnet"],
    )


def stage_of(name: str) -> int:
    """The stage of a weight, read from `body.layerN`."""
    found = re.match(r"body\.layer(\d+)\.", name)
    return int(found.group(1)) if found else 0


FAMILY = Family(
    config_class=ResNetArchitecture,
    levels=levels,
    construct_body=_construct_body,
    embed=embed,
    units=units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=stage_of,
    stem="body.conv1.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic"),
    canvas=lambda config: (224, 224),
)
