"""What transformers' DETR and Deformable DETR say alike: their backbone, its freezing, their matching, their names.

Source: transformers/models/detr/configuration_detr.py and modeling_detr.py, DetrConvEncoder.
"""

from collections.abc import Mapping
from typing import Any

from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import TIMM, NestedBackbone, read_nested
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
# Initialisation, masks, second names of fields, what only training of whole layers read in older releases, and older
# ways to name a backbone, which `detr_backbone` reads.
IDLE = (
    *("init_std", "init_xavier_std", "mask_loss_coefficient", "dice_loss_coefficient", "hidden_size"),
    *("num_hidden_layers", "num_attention_heads", "encoder_layerdrop", "decoder_layerdrop", "classifier_dropout"),
    *("max_position_embeddings", "scale_embedding", "num_channels", "backbone_config", "backbone"),
    *("use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs", "dilation"),
)
# On disk, in every release; and in the memory of newer ones.
_PLACES = ("model.backbone.conv_encoder.model", "model.backbone.model")
_PROJECTIONS = (
    *(("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")),
    *(("out_proj", "output"), ("o_proj", "output")),
)


def detr_backbone(config: Mapping[str, Any], faults: list[str], *, out_indices: list[int]) -> NestedBackbone | None:
    """The backbone; None, with a sentence in `faults`, where it has no counterpart. `out_indices`: the maps of a timm
    network where nobody says."""
    nested = config.get("backbone_config")
    if nested is None:
        nested = _unnested(config, faults, out_indices)
    return None if nested is None else read_nested(nested, faults, wrapped=False)


def _unnested(config: Mapping[str, Any], faults: list[str], out_indices: list[int]) -> Mapping[str, Any] | None:
    """The older way to say it: `backbone`, `use_timm_backbone`, `backbone_kwargs`, `dilation`."""
    name = config.get("backbone")
    if config.get("use_timm_backbone") is False:
        if name is None:
            return {"model_type": "resnet", "out_features": ["stage4"]}
        faults.append(
            f"backbone={str(name)[:60]!r} without a backbone_config: which architecture it is stands elsewhere. The "
            f"fix: its config.json as backbone_config."
        )
        return None
    kwargs = config.get("backbone_kwargs")
    nested: dict[str, Any] = {"model_type": TIMM, "backbone": name or "resnet50", "out_indices": out_indices}
    nested["num_channels"] = config.get("num_channels") or 3
    if config.get("dilation") is True:
        nested["output_stride"] = 16
    return {**nested, **(kwargs if isinstance(kwargs, Mapping) else {})}


def freezing(backbone: NestedBackbone) -> dict[str, Any]:
    """The `training` of the recipe: norms are never trained; of ResNets stem and first stage are not either."""
    recipe = backbone.recipe
    name = recipe["name"] if recipe["source"] == "timm" else recipe["config"]["model_type"]
    return {"freeze": {"stages": 2 if str(name).startswith("resnet") else 0, "norms": True}}


def box_costs(fields: ForeignFields) -> dict[str, Any]:
    """Options of the criterion that both have."""
    return {
        "name": "box_set",
        "box_weight": fields.number("bbox_loss_coefficient", 5.0),
        "giou_weight": fields.number("giou_loss_coefficient", 2.0),
        "class_cost": fields.number("class_cost", 1.0),
        "box_cost": fields.number("bbox_cost", 5.0),
        "giou_cost": fields.number("giou_cost", 2.0),
    }


def backbone_names(backbone: NestedBackbone) -> KeyMap:
    return combine(*(backbone.key_map.under(place, "backbone") for place in _PLACES))


def attention_rules(foreign: str, ours: str) -> list[Rule]:
    return [Rename(f"{foreign}.{theirs}", f"{ours}.{name}") for theirs, name in _PROJECTIONS]


def feedforward_rules(foreign: str, ours: str) -> list[Rule]:
    """Of a layer: the two linear maps, by both of their spellings, and the norm after them."""
    return [
        Rename(f"{foreign}.fc1", f"{ours}.feedforward.widen"),
        Rename(f"{foreign}.fc2", f"{ours}.feedforward.narrow"),
        Rename(f"{foreign}.mlp.fc1", f"{ours}.feedforward.widen"),
        Rename(f"{foreign}.mlp.fc2", f"{ours}.feedforward.narrow"),
        Rename(f"{foreign}.final_layer_norm", f"{ours}.feedforward_norm"),
    ]
