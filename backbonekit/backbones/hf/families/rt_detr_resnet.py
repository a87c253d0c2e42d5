"""The ResNet inside RT-DETR, as transformers' `rt_detr_resnet` has it.

Its stem has three convolutions, and its shortcuts pool by averages before they project. With basic blocks, the first
block of a stage always projects its shortcut; where the channels stay the same, the projection has the stride and there
is no pooling.

Source: "DETRs Beat YOLOs on Real-time Object Detection", https://arxiv.org/abs/2304.08069;
transformers/models/rt_detr/modeling_rt_detr_resnet.py; the rest as in `resnet.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from timm.models.resnet import ResNet
from torch import nn

from backbonekit.backbones.hf.families import resnet
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, Rule

_STEM = (("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1"))  # convolution and norm, as timm has them


@dataclass(kw_only=True)
class RTDetrResNetArchitecture(resnet.ResNetArchitecture):
    """The fields of `resnet`. `embedding_size`: channels of the stem, half of it inside."""

    model_type: ClassVar[str] = "rt_detr_resnet"

    def _supported(self) -> list[str]:
        faults = self._stage_faults()
        if self.embedding_size % 2:
            faults.append(f"rt_detr_resnet config: embedding_size must be even, got {self.embedding_size}.")
        if not faults and _is_pooled(self, 0) and _stride(self, 0) == 1:
            faults.append(
                f"rt_detr_resnet config: basic layers that keep their size in stage 1 need hidden_sizes[0] to be"
                f" embedding_size={self.embedding_size}, got {self.hidden_sizes[0]}."
            )
        return faults


def _stride(config: resnet.ResNetArchitecture, stage: int) -> int:
    return 2 if stage > 0 or config.downsample_in_first_stage else 1


def _channels(config: resnet.ResNetArchitecture, stage: int) -> tuple[int, int]:
    """The channels that enter and leave a stage, counted from 0."""
    sizes = (config.embedding_size, *config.hidden_sizes)
    return sizes[stage], sizes[stage + 1]


def _is_pooled(config: resnet.ResNetArchitecture, stage: int) -> bool:
    entering, leaving = _channels(config, stage)
    return _stride(config, stage) == 2 if config.layer_type == "bottleneck" else entering != leaving


def _construct_body(config: RTDetrResNetArchitecture, plan: BodyPlan) -> nn.Module:
    body = resnet.construct_stages(config, plan, deep_stem_width=config.embedding_size // 2)
    for stage in range(max(plan.last, 1)):
        _set_shortcut(body, config, stage)
    if config.hidden_act != "relu":
        body.conv1[2], body.conv1[5] = (ACTIVATIONS[config.hidden_act]() for _ in range(2))  # type: ignore[index]
    resnet.finish_body(body, config, plan)
    return body


def _set_shortcut(body: ResNet, config: RTDetrResNetArchitecture, stage: int) -> None:
    """Sets the strides of a stage's first block and its shortcut, for which timm has other conditions."""
    entering, leaving = _channels(config, stage)
    stride = _stride(config, stage)
    first = body.get_submodule(f"layer{stage + 1}.0")
    if config.layer_type == "bottleneck":
        first.conv2.stride = (stride, stride)  # type: ignore[union-attr]
        if entering == leaving and stride == 1:
            return
    else:
        first.conv1.stride = (stride, stride)  # type: ignore[union-attr]
    is_pooled = _is_pooled(config, stage)
    projection = nn.Conv2d(entering, leaving, 1, stride=1 if is_pooled else stride, bias=False)
    nn.init.kaiming_normal_(projection.weight, mode="fan_out", nonlinearity="relu")  # as timm initialises the others
    pool = nn.AvgPool2d(2, 2, ceil_mode=True) if is_pooled else nn.Identity()
    first.downsample = nn.Sequential(pool, projection, nn.BatchNorm2d(leaving))


def _rules(config: RTDetrResNetArchitecture) -> list[Rule]:
    block, ours = "encoder.stages.{i}.layers.{j}", "body.layer{i+1}.{j}"
    found: list[Rule] = [
        Rename(f"{block}.layer.{{k}}.convolution", f"{ours}.conv{{k+1}}"),
        Rename(f"{block}.layer.{{k}}.normalization", f"{ours}.bn{{k+1}}"),
    ]
    for index, (convolution, norm) in enumerate(_STEM):
        found.append(Rename(f"embedder.embedder.{index}.convolution", f"body.{convolution}"))
        found.append(Rename(f"embedder.embedder.{index}.normalization", f"body.{norm}"))
    for stage in range(len(config.depths)):
        # After the average pooling, where there is one.
        foreign = f"encoder.stages.{stage}.layers.0.shortcut" + (".1" if _is_pooled(config, stage) else "")
        found.append(Rename(f"{foreign}.convolution", f"body.layer{stage + 1}.0.downsample.1"))
        found.append(Rename(f"{foreign}.normalization", f"body.layer{stage + 1}.0.downsample.2"))
    return found


FAMILY = Family(
    config_class=RTDetrResNetArchitecture,
    levels=resnet.levels,
    construct_body=_construct_body,
    embed=resnet.embed,
    units=resnet.units,
    layout="NCHW",
    key_map=lambda config: KeyMap(_rules(config), prefixes=["resnet"]),
    stage_of=resnet.stage_of,
    stem="body.conv1.0.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    processing=Processing(size=(640, 640), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    canvas=lambda config: (640, 640),
)
