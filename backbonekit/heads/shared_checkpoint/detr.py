"""What the configurations and weights of DETR and of Deformable DETR have in common.

Source: transformers/models/detr/configuration_detr.py and modeling_detr.py, DetrConvEncoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from backbonekit.contract.options import Channels, Heads, Layers, Probability, Queries, Weight
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, unused
from backbonekit.heads.shared_checkpoint.nested_backbone import TIMM, NestedBackbone, nested_config, read_nested
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
PREFIX = "model.backbone.conv_encoder.model"  # of the backbone, on disk
# Prefixes of the backbone: on disk, in every release; and in the memory of newer ones.
_PREFIXES = (
    *(PREFIX, "model.backbone.model"),
    "model.backbone.conv_encoder.model._backbone",  # releases before 5, of a `timm_backbone` in `backbone_config`
)
# Fields, and the options of the head and of the criterion that they are.
SHARED_OPTIONS = {
    "num_queries": "num_queries",
    "dropout": "dropout",
    "activation_dropout": "activation_dropout",
    "activation_function": "activation",
}
BOX_COSTS = {
    "bbox_loss_coefficient": "box_weight",
    "giou_loss_coefficient": "giou_weight",
    "class_cost": "class_cost",
    "bbox_cost": "box_cost",
    "giou_cost": "giou_cost",
}
_PROJECTIONS = (
    *(("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")),
    *(("out_proj", "output"), ("o_proj", "output")),
)


@dataclass(kw_only=True)
class DetrLikeFields(ModelFields):
    """Fields of both, with DETR's defaults. `num_channels`, `dilation`: of a backbone of timm named the older way."""

    second_names: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
    }
    # What only training of whole layers read in older releases.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"classifier_dropout", "max_position_embeddings", "scale_embedding", "decoder_layerdrop", "num_hidden_layers"}
    )

    num_channels: int = unused(3)
    num_queries: Queries = 100
    encoder_layers: Layers = 6
    encoder_ffn_dim: Channels = 2048
    encoder_attention_heads: Heads = 8
    decoder_layers: Layers = 6
    decoder_ffn_dim: Channels = 2048
    decoder_attention_heads: Heads = 8
    encoder_layerdrop: float = unused(0.0)
    activation_function: Literal["relu", "gelu", "silu", "swish"] = "relu"
    d_model: Channels = 256
    dropout: Probability = 0.1
    attention_dropout: Probability = 0.0
    activation_dropout: Probability = 0.0
    init_std: float = unused(0.02)
    init_xavier_std: float = unused(1.0)
    auxiliary_loss: bool = False
    position_embedding_type: str = only("sine", "positions are sines of row and column")
    dilation: bool = unused(False)
    class_cost: Weight = 1
    bbox_cost: Weight = 5
    giou_cost: Weight = 2
    mask_loss_coefficient: float = unused(1)
    dice_loss_coefficient: float = unused(1)
    bbox_loss_coefficient: Weight = 5
    giou_loss_coefficient: Weight = 2


def detr_backbone(config: Mapping[str, Any], faults: list[str], *, out_indices: list[int]) -> NestedBackbone | None:
    """The backbone; None, with a message in `faults`, where it has no counterpart. `out_indices`: the default maps of a
    timm architecture."""
    nested = nested_config(_named(config), faults, {"model_type": "resnet", "out_features": ["stage4"]})
    if config.get("backbone_config") is None and isinstance(nested, Mapping) and nested.get("model_type") == TIMM:
        shared: dict[str, Any] = {"out_indices": out_indices, "num_channels": config.get("num_channels") or 3}
        nested = {**shared, **({"output_stride": 16} if config.get("dilation") is True else {}), **nested}
    return None if nested is None else read_nested(nested, faults, wrapped=False)


def _named(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Unless they say otherwise, these models stand on a ResNet of timm, and that is written beside a
    `backbone_config` too."""
    if config.get("backbone_config") is not None:
        return {"backbone_config": config["backbone_config"]}
    if config.get("use_timm_backbone") is False:
        return config
    return {**config, "use_timm_backbone": True, "backbone": config.get("backbone") or "resnet50"}


def freezing(backbone: NestedBackbone) -> dict[str, Any]:
    """The `training` of the recipe: norms are never trained; of ResNets stem and first stage are not either."""
    recipe = backbone.recipe
    name = recipe["name"] if recipe["source"] == "timm" else recipe["config"]["model_type"]
    return {"freeze": {"stages": 2 if str(name).startswith("resnet") else 0, "norms": True}}


def box_costs(fields: DetrLikeFields) -> dict[str, Any]:
    """Options of the criterion that both have."""
    return {
        "name": "box_set",
        "box_weight": fields.bbox_loss_coefficient,
        "giou_weight": fields.giou_loss_coefficient,
        "class_cost": fields.class_cost,
        "box_cost": fields.bbox_cost,
        "giou_cost": fields.giou_cost,
    }


def backbone_names(backbone: NestedBackbone) -> KeyMap:
    return combine(*(backbone.key_map.under(prefix, "backbone") for prefix in _PREFIXES))


def attention_rules(prefix: str, ours: str) -> list[Rule]:
    return [Rename(f"{prefix}.{theirs}", f"{ours}.{name}") for theirs, name in _PROJECTIONS]


def feedforward_rules(prefix: str, ours: str) -> list[Rule]:
    """Of a layer: the two linear maps, by both of their spellings, and the norm after them."""
    return [
        Rename(f"{prefix}.fc1", f"{ours}.feedforward.widen"),
        Rename(f"{prefix}.fc2", f"{ours}.feedforward.narrow"),
        Rename(f"{prefix}.mlp.fc1", f"{ours}.feedforward.widen"),
        Rename(f"{prefix}.mlp.fc2", f"{ours}.feedforward.narrow"),
        Rename(f"{prefix}.final_layer_norm", f"{ours}.feedforward_norm"),
    ]
