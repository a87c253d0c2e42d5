"""DETR's and Deformable DETR's config.json as recipes: what is supported, what is refused, all faults together."""

import pytest

from backbonekit.errors import RecipeError
from backbonekit.heads.deformable_detr.checkpoint import DEFORMABLE_DETR
from backbonekit.heads.detr.checkpoint import DETR
from backbonekit.recipe.validate import recipe_from_mapping

RESNET = {"model_type": "resnet", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
FOUR = {**RESNET, "out_features": ["stage1", "stage2", "stage3", "stage4"]}
THREE = {**RESNET, "out_features": ["stage2", "stage3", "stage4"]}
BOXES = {"class_cost": 3, "bbox_cost": 4.5, "giou_cost": 6, "bbox_loss_coefficient": 7, "giou_loss_coefficient": 8}
OUR_BOXES = {
    "name": "box_set",
    "box_weight": 7.0,
    "giou_weight": 8.0,
    "class_cost": 3.0,
    "box_cost": 4.5,
    "giou_cost": 6.0,
}
DROPOUTS = {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.4}
LABELS = {"0": "sky", "1": "person", "2": "road"}


def recipe(converter, **fields):
    given = converter.recipe({"architectures": list(converter.architectures), **fields})
    recipe_from_mapping(given)  # the strict reader takes it
    return given


def test_every_field_of_detr_is_converted():
    given = recipe(
        DETR, backbone_config=FOUR, d_model=64, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=99,
        decoder_layers=3, decoder_attention_heads=2, decoder_ffn_dim=77, num_queries=30, activation_function="gelu",
        **DROPOUTS, eos_coefficient=0.3, auxiliary_loss=True, id2label=LABELS, **BOXES, mask_loss_coefficient=4,
    )  # fmt: skip
    both = {**DROPOUTS, "activation": "gelu"}
    assert given["neck"] == {
        "name": "transformer_encoder", "channels": 64, "num_layers": 2, "num_heads": 4, "feedforward_channels": 99,
        **both,
    }  # fmt: skip
    assert given["head"] == {
        "name": "detr", "num_queries": 30, "num_layers": 3, "num_heads": 2, "feedforward_channels": 77, **both,
        "auxiliary": True, "norm_between": True, "criterion": {**OUR_BOXES, "no_object_weight": 0.3},
    }  # fmt: skip
    assert given["labels"] == ["sky", "person", "road"]
    assert given["backbone"]["out_indices"] == [1, 2, 3, 4]
    assert given["training"] == {"freeze": {"stages": 2, "norms": True}}


def test_every_field_of_deformable_detr_is_converted():
    given = recipe(
        DEFORMABLE_DETR, backbone_config=THREE, d_model=64, encoder_layers=2, encoder_attention_heads=4,
        encoder_ffn_dim=99, encoder_n_points=3, decoder_layers=3, decoder_attention_heads=2, decoder_ffn_dim=77,
        decoder_n_points=5, num_queries=30, two_stage=True, two_stage_num_proposals=50, with_box_refine=True,
        activation_function="gelu", **DROPOUTS, focal_alpha=0.3, auxiliary_loss=True, id2label=LABELS, **BOXES,
    )  # fmt: skip
    both = {"dropout": 0.2, "activation_dropout": 0.4, "activation": "gelu"}
    assert given["neck"] == [
        {"name": "channel_mapper", "channels": 64, "norm": "group", "num_extra_levels": 1},
        {
            "name": "deformable_encoder",
            "num_layers": 2,
            "num_heads": 4,
            "num_points": 3,
            "feedforward_channels": 99,
            **both,
        },
    ]
    assert given["head"] == {
        "name": "deformable_detr", "num_queries": 50, "num_layers": 3, "num_heads": 2, "num_points": 5,
        "feedforward_channels": 77,
        "attention_dropout": 0.3, **both, "auxiliary": True, "box_refinement": True, "two_stage": True,
        "num_deepest_levels": 0,
        "criterion": {**OUR_BOXES, "alpha": 0.3, "proposals": "objectness"},
    }  # fmt: skip


@pytest.mark.parametrize(("converter", "indices"), [(DETR, [1, 2, 3, 4]), (DEFORMABLE_DETR, [2, 3, 4])])
def test_an_empty_file_has_the_defaults_of_transformers(converter, indices):
    given = recipe(converter)
    backbone = given["backbone"]
    assert (backbone["source"], backbone["name"], backbone["out_indices"]) == ("timm", "resnet50", indices)
    assert given["head"]["num_classes"] == 2
    assert given["head"]["auxiliary"] is False


def test_older_ways_to_name_a_backbone():
    named = recipe(
        DETR, backbone="resnet18", use_timm_backbone=True, backbone_kwargs={"out_indices": [4]}, num_channels=4
    )["backbone"]
    assert (named["name"], named["out_indices"], named["in_channels"]) == ("resnet18", [4], 4)
    assert recipe(DEFORMABLE_DETR, backbone="resnet18", dilation=True)["backbone"]["args"] == {"output_stride": 16}
    assert recipe(DETR, use_timm_backbone=False)["backbone"]["config"]["model_type"] == "resnet"
    assert recipe(DEFORMABLE_DETR, num_feature_levels=1)["backbone"]["out_indices"] == [4]


def test_levels_that_are_not_those_of_the_paper_are_taken_as_they_are():
    given = recipe(DEFORMABLE_DETR, backbone_config=FOUR, num_feature_levels=5)
    assert given["neck"][0]["num_extra_levels"] == 1
    assert given["head"]["num_deepest_levels"] == 5


def test_other_backbones_than_resnets_have_their_norms_frozen_alone():
    swin = {"model_type": "swin", "embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4}
    given = recipe(DETR, backbone_config={**swin, "out_features": ["stage4"]})
    assert given["training"] == {"freeze": {"stages": 0, "norms": True}}


@pytest.mark.parametrize(
    ("converter", "fields", "message"),
    [
        (DETR, {"position_embedding_type": "learned"}, "position_embedding_type='learned' is not supported: positions"),
        (DETR, {"backbone_config": 3}, "backbone_config is no mapping"),
        (DETR, {"backbone_config": {"model_type": "resnext"}}, "model_type='resnext' is not supported"),
        (DETR, {"backbone": "a/b", "use_timm_backbone": False}, "backbone='a/b' without a backbone_config"),
        (DETR, {"eos_coefficient": -1}, "eos_coefficient: given -1, must be a number from 0"),
        (DETR, {"activation_function": "mish"}, "activation_function: given 'mish', must be one of relu, gelu"),
        (DEFORMABLE_DETR, {"num_feature_levels": 2}, "is less than the 3 maps of the backbone.*fewer out_features"),
        (DEFORMABLE_DETR, {"backbone_config": RESNET}, "which maps are read is not given. The fix: out_features"),
        (DEFORMABLE_DETR, {"with_box_refine": "yes"}, "with_box_refine: given 'yes', must be true or false"),
        (DEFORMABLE_DETR, {"decoder_layers": 0}, "decoder_layers: given 0, must be a whole number from 1"),
    ],
)
def test_unsupported_fields_are_refused_by_name(converter, fields, message):
    with pytest.raises(RecipeError, match=message):
        recipe(
            converter,
            **{"backbone_config": THREE if converter is DEFORMABLE_DETR else FOUR, **_plain(fields), **fields},
        )


def _plain(fields):
    """Where the older way is under test there is no backbone_config."""
    return {"backbone_config": None} if "backbone" in fields else {}


def test_all_faults_are_reported_together():
    with pytest.raises(RecipeError) as error:
        recipe(DETR, backbone_config={"model_type": "resnext"}, dropout=2, giou_cost=-1, id2label=[])
    assert len(error.value.faults) == 4
    assert all(fault.startswith("DETR config.json: ") for fault in error.value.faults)


@pytest.mark.parametrize("extra", [{}, {"output_stride": 16}])
@pytest.mark.parametrize(("converter", "indices"), [(DETR, [1, 2, 3, 4]), (DEFORMABLE_DETR, [2, 3, 4])])
def test_backbones_of_timm_as_releases_before_5_write_them(converter, indices, extra):
    kwargs = {"in_chans": 1, "out_indices": indices, **extra}
    given = recipe(converter, use_timm_backbone=True, backbone="resnet18", backbone_kwargs=kwargs)
    assert given["backbone"]["in_channels"] == 1
    assert given["backbone"]["out_indices"] == indices
    assert given["backbone"]["args"] == extra
    nested = {"model_type": "timm_backbone", "backbone": "resnet18", "use_timm_backbone": True, "out_indices": indices}
    assert recipe(converter, backbone_config=nested)["backbone"]["name"] == "resnet18"
