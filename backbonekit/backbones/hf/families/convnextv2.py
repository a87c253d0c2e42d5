"""ConvNeXt V2, as transformers' `convnextv2` checkpoints have it: response normalisation instead of a layer scale.

Source: "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders", https://arxiv.org/abs/2301.00808;
transformers/models/convnextv2/modeling_convnextv2.py; the rest as in `convnext.py`.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.families import convnext
from backbonekit.backbones.hf.family import BodyPlan, Family
from backbonekit.backbones.hf.field_values import ACTIVATIONS, Square, sides
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Reshape, Rule


@dataclass(kw_only=True)
class ConvNextV2Architecture(ArchitectureConfig):
    """`hidden_sizes`, `depths`: channels and blocks of each of `num_stages` stages. `drop_path_rate`: of the deepest
    block in training. `layer_norm_eps`: of the norm behind the pooling, which the maps do not use.
    """

    model_type: ClassVar[str] = "convnextv2"
    derived_fields: ClassVar[frozenset[str]] = frozenset({"initializer_range", "num_hidden_layers"})
    free_fields: ClassVar[frozenset[str]] = frozenset(
        {"num_channels", "image_size", "drop_path_rate", "layer_norm_eps"}
    )
    training_fields: ClassVar[frozenset[str]] = frozenset({"drop_path_rate"})

    num_channels: Channels = 3
    patch_size: Square = 4
    num_stages: Annotated[int, Range(1, 4)] = 4
    hidden_sizes: tuple[Channels, ...] = (96, 192, 384, 768)
    depths: tuple[Annotated[int, Range(1, 200)], ...] = (3, 3, 9, 3)
    hidden_act: str = "gelu"
    layer_norm_eps: Annotated[float, Range(0.0, 1.0)] = 1e-12
    drop_path_rate: Annotated[float, Range(0.0, 0.99)] = 0.0
    image_size: Square = 224

    def _supported(self) -> list[str]:
        return self._refusals({"hidden_act": tuple(ACTIVATIONS)}) + convnext.stage_faults(
            self.model_type, self.num_stages, self.hidden_sizes, self.depths
        )


def _construct_body(config: ConvNextV2Architecture, plan: BodyPlan) -> nn.Module:
    body = convnext.construct_convnext(
        plan,
        hidden_sizes=config.hidden_sizes,
        depths=config.depths,
        hidden_act=config.hidden_act,
        scale=None,
        has_response_norm=True,
        epsilon=convnext.EPSILON,
        drop_path_rate=config.drop_path_rate,
    )
    convnext.set_patch(body, sides(config.patch_size))
    return body


def _response_norm(leaf: str) -> Rule:
    return Reshape(
        f"encoder.stages.{{i}}.layers.{{j}}.grn.{leaf}",
        f"body.stages.{{i}}.blocks.{{j}}.mlp.grn.{leaf}",
        ours_shape=lambda shape: (shape[-1],),
        foreign_shape=lambda shape: (1, 1, 1, *shape),
    )


def _key_map(config: ConvNextV2Architecture) -> KeyMap:
    norms = [_response_norm("weight"), _response_norm("bias")]
    return KeyMap([*convnext.rules(), *norms], drop=["classifier.*"], prefixes=["convnextv2"])


FAMILY = Family(
    config_class=ConvNextV2Architecture,
    levels=convnext.levels,
    construct_body=_construct_body,
    embed=convnext.embed,
    units=convnext.units,
    layout="NCHW",
    key_map=_key_map,
    stage_of=convnext.stage_of,
    stem="body.stem.0.weight",
    default_norm=lambda config: "per_stage",
    final_norm="never",
    norm_epsilon=convnext.EPSILON,
    pooled_epsilon=lambda config: config.layer_norm_eps,
    processing=Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic"),
    canvas=lambda config: sides(config.image_size),
)
