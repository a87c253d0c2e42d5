"""ConvNeXt trained as DINOv3 is, as transformers' `dinov3_convnext` checkpoints have it.

The map at 0 is the image itself, the stem is part of the first stage, and no map is normalised.

Source: "DINOv3", https://arxiv.org/abs/2508.10104;
transformers/models/dinov3_convnext/modeling_dinov3_convnext.py; the rest as in `convnext.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.families import convnext
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, sides
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename


@dataclass(kw_only=True)
class DINOv3ConvNextArchitecture(ArchitectureConfig):
    """`hidden_sizes`, `depths`: channels and blocks of each stage. `drop_path_rate`: of the deepest block in training.
    `layer_norm_eps`: of every LayerNorm.
    """

    model_type: ClassVar[str] = "dinov3_convnext"
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layer_scale_init_value"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    num_channels: Channels = 3
    hidden_sizes: tuple[Channels, ...] = (96, 192, 384, 768)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (3, 3, 9, 3)
    hidden_act: str = "gelu"
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-6
    layer_scale_init_value: Annotated[float, Range(0.0, 1e3)] = 1e-6
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    image_size: Square = 224

    def _supported(self) -> list[str]:
        return self._refusals({"hidden_act": tuple(ACTIVATIONS)}) + convnext.stage_faults(
            self.model_type, len(self.depths), self.hidden_sizes, self.depths
        )


def _levels(config: DINOv3ConvNextArchitecture) -> tuple[Level, ...]:
    stages = (Level(f"stage{i + 1}", size, 4 * 2**i) for i, size in enumerate(config.hidden_sizes))
    return (Level("stem", config.num_channels, 1), *stages)


def _construct_body(config: DINOv3ConvNextArchitecture, plan: BodyPlan) -> nn.Module:
    body = convnext.construct_convnext(
        plan,
        hidden_sizes=config.hidden_sizes,
        depths=config.depths,
        hidden_act=config.hidden_act,
        scale=config.layer_scale_init_value,
        has_response_norm=False,
        epsilon=config.layer_norm_eps,
        drop_path_rate=config.drop_path_rate,
    )
    if plan.last == 0:
        body.stem = nn.Identity()  # type: ignore[assignment]
    return body


def _embed(body: ConvNeXt, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    return pixel_values, (pixel_values.shape[-2], pixel_values.shape[-1])


def _units(body: ConvNeXt) -> Sequence[Sequence[nn.Module]]:
    stages = convnext.units(body)
    return [[body.stem, *stages[0]], *stages[1:]] if stages else []


def _key_map(config: DINOv3ConvNextArchitecture) -> KeyMap:
    block, ours = "stages.{i}.layers.{j}", "body.stages.{i}.blocks.{j}"
    return KeyMap(
        [
            Rename("stages.0.downsample_layers.{k}", "body.stem.{k}"),
            Rename("stages.{i}.downsample_layers.{k}", "body.stages.{i}.downsample.{k}"),
            Rename(f"{block}.depthwise_conv", f"{ours}.conv_dw"),
            Rename(f"{block}.layer_norm", f"{ours}.norm"),
            Rename(f"{block}.pointwise_conv{{k}}", f"{ours}.mlp.fc{{k}}"),
            Rename(f"{block}.gamma", f"{ours}.gamma"),
            Rename("layer_norm", "pooled_norm"),
        ],
        # As transformers 5 names them in memory.
        prefixes=["model"],
    )


def _stage_of(name: str) -> int | None:
    # The stem belongs to the first stage: in front of it there is only the image.
    return max(convnext.stage_of(name), 1)


FAMILY = Family(
    config_class=DINOv3ConvNextArchitecture,
    levels=_levels,
    construct_body=_construct_body,
    embed=_embed,
    units=_units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=_stage_of,
    stem="body.stem.0.weight",
    default_norm=lambda config: "none",
    final_norm="never",
    norm_epsilon=convnext.EPSILON,
    pooled_epsilon=lambda config: config.layer_norm_eps,
    processing=Processing(size=(224, 224)),
    canvas=lambda config: sides(config.image_size),
)
