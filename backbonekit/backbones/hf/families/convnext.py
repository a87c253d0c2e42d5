"""ConvNeXt, as transformers' `convnext` checkpoints have it: every map has a LayerNorm of its own.

Source: "A ConvNet for the 2020s", https://arxiv.org/abs/2201.03545;
transformers/models/convnext/modeling_convnext.py; timm/models/convnext.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from timm.layers.weight_init import trunc_normal_
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, rate_of_last_built, sides
from backbonekit.contract.features import Level
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, Rule

_STAGES = 4  # written into timm's ConvNeXt, as is the stem's patch, which decides its strides
_PATCH = (4, 4)
EPSILON = 1e-6  # of every LayerNorm but the classifier's


@dataclass(kw_only=True)
class ConvNextArchitecture(ArchitectureConfig):
    """`hidden_sizes`, `depths`: channels and blocks of each of `num_stages` stages. `drop_path_rate`: of the deepest
    block in training. `layer_scale_init_value`: 0 for blocks without a scale. `layer_norm_eps`: of the
    norm behind the pooling, which the maps do not use.
    """

    model_type: ClassVar[str] = "convnext"
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range", "num_hidden_layers"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layer_norm_eps", "layer_scale_init_value"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    num_channels: Channels = 3
    patch_size: Square = 4
    num_stages: Annotated[int, Range(1, _STAGES)] = 4
    hidden_sizes: tuple[Channels, ...] = (96, 192, 384, 768)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (3, 3, 9, 3)
    hidden_act: str = "gelu"
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-12
    layer_scale_init_value: Annotated[float, Range(0.0, 1e3)] = 1e-6
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    image_size: Square = 224

    def _supported(self) -> list[str]:
        return self._refusals({"hidden_act": tuple(ACTIVATIONS)}) + stage_faults(
            self.model_type, self.num_stages, self.hidden_sizes, self.depths
        )


def stage_faults(model_type: str, stages: int, hidden_sizes: Sequence[int], depths: Sequence[int]) -> list[str]:
    """A message where the lists of a ConvNeXt's configuration are not one value for each stage."""
    if len(hidden_sizes) == len(depths) == stages <= _STAGES:
        return []
    return [
        f"{model_type} config: hidden_sizes has {len(hidden_sizes)} values and depths {len(depths)}; they are one for"
        f" each of {stages} stages (num_stages), of which there are at most {_STAGES}."
    ]


def levels(config: ConvNextArchitecture) -> tuple[Level, ...]:
    """Stem and stages; the stem is the normalised patch embedding."""
    patch = max(sides(config.patch_size))
    stages = (Level(f"stage{i + 1}", size, patch * 2**i) for i, size in enumerate(config.hidden_sizes))
    return (Level("stem", config.hidden_sizes[0], patch), *stages)


def _construct_body(config: ConvNextArchitecture, plan: BodyPlan) -> nn.Module:
    body = construct_convnext(
        plan,
        hidden_sizes=config.hidden_sizes,
        depths=config.depths,
        hidden_act=config.hidden_act,
        scale=config.layer_scale_init_value or None,
        has_response_norm=False,
        epsilon=EPSILON,
        drop_path_rate=config.drop_path_rate,
    )
    set_patch(body, sides(config.patch_size))
    return body


def construct_convnext(
    plan: BodyPlan,
    *,
    hidden_sizes: Sequence[int],
    depths: Sequence[int],
    hidden_act: str,
    scale: float | None,
    has_response_norm: bool,
    epsilon: float,
    drop_path_rate: float,
) -> ConvNeXt:
    """timm's ConvNeXt without the modules after the last built stage."""
    absent = _STAGES - plan.last
    built = tuple(depths[: plan.last])
    body = ConvNeXt(
        in_chans=plan.in_channels,
        num_classes=0,
        # Stages that are not built have no blocks and one channel until they are removed.
        depths=(*built, *(0,) * absent),
        dims=(*hidden_sizes[: max(plan.last, 1)], *(1,) * (_STAGES - max(plan.last, 1))),
        ls_init_value=scale,
        use_grn=has_response_norm,
        act_layer=ACTIVATIONS[hidden_act],
        norm_eps=epsilon,
        drop_path_rate=rate_of_last_built(drop_path_rate, built, depths),
    )
    del body.stages[plan.last :]
    body.head = nn.Identity()  # type: ignore[assignment]
    return body


def set_patch(body: ConvNeXt, patch: tuple[int, int]) -> None:
    """Sets another patch size in the stem, with timm's initial values."""
    if patch == _PATCH:
        return
    old: nn.Conv2d = body.stem[0]  # type: ignore[assignment]
    new = nn.Conv2d(old.in_channels, old.out_channels, patch, stride=patch)
    trunc_normal_(new.weight, std=0.02)
    nn.init.zeros_(new.bias)  # type: ignore[arg-type]
    body.stem[0] = new


def embed(body: ConvNeXt, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[batch, channels, height, width]. Pixels after the last whole patch are dropped."""
    x = body.stem(pixel_values)
    return x, (x.shape[-2], x.shape[-1])


def units(body: ConvNeXt) -> Sequence[Sequence[nn.Module]]:
    """The modules of each stage. A stage starts with its downsampling; that of the first is the identity."""
    return [[stage.downsample, *stage.blocks] for stage in body.stages]  # type: ignore[union-attr]


def rules() -> list[Rule]:
    """The rules that both versions of ConvNeXt have in common."""
    block, ours = "encoder.stages.{i}.layers.{j}", "body.stages.{i}.blocks.{j}"
    return [
        Rename("embeddings.patch_embeddings", "body.stem.0"),
        Rename("embeddings.layernorm", "body.stem.1"),
        Rename("encoder.stages.{i}.downsampling_layer.{k}", "body.stages.{i}.downsample.{k}"),
        Rename(f"{block}.dwconv", f"{ours}.conv_dw"),
        Rename(f"{block}.layernorm", f"{ours}.norm"),
        Rename(f"{block}.pwconv{{k}}", f"{ours}.mlp.fc{{k}}"),
        Rename("hidden_states_norms.stem", "norms.stem"),
        Rename("hidden_states_norms.stage{i}", "norms.stage{i}"),
        Rename("layernorm", "pooled_norm"),
    ]


def _key_map(config: ConvNextArchitecture) -> KeyMap:
    scale = Rename("encoder.stages.{i}.layers.{j}.layer_scale_parameter", "body.stages.{i}.blocks.{j}.gamma")
    return KeyMap([*rules(), scale], drop=["classifier.*"], prefixes=["convnext"])


def stage_of(name: str) -> int:
    """The stage of a weight, read from `body.stages.N`."""
    found = re.match(r"body\.stages\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


FAMILY = Family(
    config_class=ConvNextArchitecture,
    levels=levels,
    construct_body=_construct_body,
    embed=embed,
    units=units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=stage_of,
    stem="body.stem.0.weight",
    default_norm=lambda config: "per_stage",
    final_norm="never",
    norm_epsilon=EPSILON,
    pooled_epsilon=lambda config: config.layer_norm_eps,
    processing=Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic"),
    canvas=lambda config: sides(config.image_size),
)
