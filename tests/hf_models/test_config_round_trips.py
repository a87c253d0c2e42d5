"""Every field of every configuration class, set to another value, is refused, or is written, read and has an effect."""

import inspect
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import backbonekit as bk
from backbonekit.backbones.hf.class_names import CLASS_NAMES, config_name
from backbonekit.contract.option_schema import schema_of
from backbonekit.errors import ContractError, RecipeError
from backbonekit.heads.shared_checkpoint.fields import BACKBONE_FIELDS
from backbonekit.hf_models.common_fields import CommonFields
from backbonekit.recipe.recipe import plain_data
from backbonekit.registry.model_names import MODELS

pytestmark = pytest.mark.slow  # some thousand configurations

FAMILIES = {config_name(model_type): {} for model_type in CLASS_NAMES}
WHOLE = {entry.config: {} for entry in MODELS.values()}
WHOLE["DPTConfig"] = {"backbone_config": {"model_type": "dinov2", "out_indices": [3, 6, 9, 12]}}
ALL = {**FAMILIES, **WHOLE, "TimmBackboneConfig": {"backbone": "test_resnet"}}
# Their default backbone is timm's, which takes longer to describe; fields about the backbone are tried on it.
QUICK = {name: {"backbone_config": {"model_type": "resnet"}} for name in ("DetrConfig", "DeformableDetrConfig")}
ON_TIMM = {*BACKBONE_FIELDS, "num_channels", "dilation"}
OTHERS: dict[str, list[Any]] = {
    "id2label": [{1: "cat", 2: "dog"}, {-1: "none", 0: 7}, {1: "b", 0: "a"}],
    "label2id": [{"cat": 1, "dog": 0}],
    "num_labels": [5],
    "out_indices": [[1, 2], [2]],
    "out_features": [["stage1", "stage2"], ["stage2"]],
    "dtype": ["float16"],
    "attn_implementation": ["eager"],
    "architectures": [["Odd"]],
    "stem_channels": [[3, 16, 48]],  # the first is that of num_channels
}
OTHERS_OF_WHOLE: dict[str, list[Any]] = {
    "backbone_config": [
        {"model_type": "dinov2", "num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
        {"model_type": "resnet", "hidden_sizes": [64, 96, 128, 160], "depths": [1, 1, 1, 1]},
        {"model_type": "vitpose_backbone", "hidden_size": 384},
    ],
    "backbone": ["owner/name"],
    "backbone_kwargs": [{"num_channels": 1}, {"out_indices": [1, 2, 3, 4]}],
    "use_timm_backbone": [True],
    "use_pretrained_backbone": [True],
    "decoder_config": [{"model_type": "detr", "decoder_layers": 2}],
}
# What else has to be set for a field to have an effect.
_NAMED = {"backbone": "resnet18", "use_timm_backbone": True}
COMPANIONS: dict[str, dict[str, Any]] = {
    "two_stage_num_proposals": {"two_stage": True, "with_box_refine": True},
    "backbone_kwargs": _NAMED,
    "use_timm_backbone": {"backbone": "resnet18"},
    "use_pretrained_backbone": _NAMED,
}
# Fields that are kept and change nothing that is built. Those that transformers' model code does not read either:
UNREAD = {
    "DFineConfig": {"activation_dropout", "eos_coefficient"},
    "DeformableDetrConfig": {
        *("dice_loss_coefficient", "mask_loss_coefficient", "encoder_layerdrop", "eos_coefficient", "init_std"),
        *("init_xavier_std", "max_position_embeddings", "return_intermediate", "dilation"),
    },
    "DetrConfig": {
        *("dice_loss_coefficient", "mask_loss_coefficient", "encoder_layerdrop", "decoder_layerdrop", "init_std"),
        "dilation",
    },
    "RTDetrConfig": {"eos_coefficient"},
    "RTDetrV2Config": {"eos_coefficient"},
}
# Of random weights: a part starts as its paper's code does.
START = {"init_std", "init_xavier_std", "initializer_bias_prior_prob"}
# The backbone decides: transformers fails where they say otherwise, and reads those of DPT's own transformer without a
# backbone_config alone. Kernels, anchors of a fixed size, segmentation by DPT, and outputs change no part either.
REAL_TIME = {
    "encoder_in_channels",
    "decoder_in_channels",
    "feat_strides",
    "anchor_image_size",
    "disable_custom_kernels",
}
OTHER_REASONS = {
    "DFineConfig": REAL_TIME,
    "RTDetrConfig": REAL_TIME,
    "RTDetrV2Config": REAL_TIME,
    "DeformableDetrConfig": {"disable_custom_kernels"},
    "MaskFormerConfig": {"output_auxiliary_logits"},
    # Of the strides only how many levels lie below those that are encoded counts.
    "Mask2FormerConfig": {"output_auxiliary_logits", "use_auxiliary_loss", "feature_strides"},
    "DPTConfig": {
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_dropout_prob"),
        *("attention_probs_dropout_prob", "layer_norm_eps", "image_size", "patch_size", "qkv_bias", "pooler_act"),
        *("backbone_out_indices", "backbone_featmap_shape", "neck_ignore_stages", "pooler_output_size"),
        *("use_auxiliary_head", "auxiliary_loss_weight", "semantic_loss_ignore_index", "semantic_classifier_dropout"),
    },
}
# Fields of every model (see test_config_fields), and those of a backbone that choose maps and name classes.
COMMON = {item.name for item in fields(CommonFields)}
WITHOUT_CLASSES = ("DPTConfig", "DepthAnythingConfig")
CHOICES = {"out_indices", "out_features", "num_labels", "id2label", "label2id"}
# Of one file: a file that is read again has its own.
OF_ONE_FILE = ("name_or_path", "architectures", "transformers_version")


def other_values(schema: dict[str, Any], value: Any) -> list[Any]:
    """Values that may be legal in place of `value`."""
    kinds = schema.get("anyOf", [schema])
    found: list[Any] = []
    for kind in kinds:
        if "enum" in kind:
            found += kind["enum"]
        elif kind.get("type") == "boolean":
            found += [True, False]
        elif kind.get("type") == "integer":
            found += [value + 1, value * 2] if isinstance(value, int) else [2, 8]
        elif kind.get("type") == "number":
            found += [value / 2 + 0.25, 0.25, value + 1] if isinstance(value, int | float) else [0.25]
        elif kind.get("type") == "string":
            found += ["other"]
        elif kind.get("type") == "array" and not isinstance(value, int):
            found += _other_lists(list(value)) if value else [[1, 1], [640, 640]]
    return [each for each in found if plain_data(each) != plain_data(value)]


def _other_lists(value: list[Any]) -> list[Any]:
    changed = [not each if isinstance(each, bool) else each * 2 or 1 for each in value]
    return [changed, [*value[:-1], changed[-1]], [changed[0], *value[1:]]]


def least(name: str, field: str) -> dict[str, Any]:
    """What else is set where a field is tried."""
    if name not in WHOLE:
        return ALL[name]
    quick = {} if field in ON_TIMM else QUICK.get(name, {})
    return {**ALL[name], **quick, **COMPANIONS.get(field, {})}


def variants(name: str) -> tuple[list[tuple[str, Any, Any]], set[str]]:
    """(field, value, configuration) of every field that another value is accepted for; and the fields for which none
    is."""
    cls = getattr(bk, name)
    hints = get_type_hints(cls, include_extras=True)
    plain = cls(**ALL[name])
    others = OTHERS if name in FAMILIES else {**OTHERS, **OTHERS_OF_WHOLE}
    found: dict[str, tuple[str, Any, Any]] = {}
    refused = set()
    for field in [item.name for item in fields(cls)] + ["out_indices", "out_features", "num_labels", "id2label"]:
        if field in OF_ONE_FILE or field in ALL[name] or field in found:
            continue
        candidates = others.get(field)
        if candidates is None:
            candidates = other_values(schema_of(hints[field]), getattr(plain, field))
        assert candidates, f"{name}.{field}: no other value is tried"
        for value in candidates:
            try:
                config = cls(**{**least(name, field), field: value})
            except (RecipeError, ContractError):
                continue
            found[field] = (field, value, config)
            if has_effect(name, field, config):
                break
        if field not in found:
            refused.add(field)
    return list(found.values()), refused


def has_effect(name: str, field: str, config: Any) -> bool:
    """Whether what is built differs from what is built without the field."""
    return built(name, config) != built_without(name, field)


def built(name: str, config: Any) -> Any:
    if name in FAMILIES:
        return config.architecture()
    return config.to_dict() if name == "TimmBackboneConfig" else config.recipe()


@cache
def built_without(name: str, field: str) -> Any:
    """None where the other fields alone are refused."""
    others = {key: value for key, value in least(name, field).items() if key != field}
    try:
        return built(name, getattr(bk, name)(**others))
    except (ContractError, RecipeError):
        return None


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_refused_or_read_as_it_was_written_and_has_an_effect(name: str, tmp_path: Path) -> None:
    found, refused = variants(name)
    assert len(found) + len(refused) >= 12
    idle = COMMON | START | UNREAD.get(name, set()) | OTHER_REASONS.get(name, set())
    if name in FAMILIES or name in WITHOUT_CLASSES:
        idle |= CHOICES
    for field, value, config in found:
        config.save_pretrained(tmp_path)
        again = type(config).from_pretrained(tmp_path)
        assert again.to_dict() == config.to_dict(), (field, value)
        assert plain_data(getattr(again, field)) == plain_data(getattr(config, field)), (field, value)
        if field not in idle:
            assert has_effect(name, field, config), (field, value)


@pytest.mark.parity
@pytest.mark.parametrize("name", UNREAD)
def test_transformers_does_not_read_what_has_no_effect(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    architecture = next(entry.architecture for entry in MODELS.values() if entry.config == name)
    code = Path(inspect.getfile(getattr(transformers, architecture))).read_text(encoding="utf-8")
    assert not [field for field in UNREAD[name] if re.search(rf"config\.{field}\b", code)]
