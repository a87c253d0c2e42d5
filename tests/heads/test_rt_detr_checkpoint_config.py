"""RT-DETR's and D-FINE's config.json as recipes: what is supported, what is refused, and that all faults are reported
together."""

import pytest

from backbonekit.errors import RecipeError
from backbonekit.heads.d_fine.checkpoint import D_FINE
from backbonekit.heads.rt_detr.checkpoint import RT_DETR
from backbonekit.recipe.validate import recipe_from_mapping

VD = {"model_type": "rt_detr_resnet", "out_indices": [2, 3, 4]}
COMMON = {
    "encoder_hidden_dim": 96, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 99, "dropout": 0.1,
    "encoder_activation_function": "relu", "positional_encoding_temperature": 50, "hidden_expansion": 0.5,
    "activation_function": "gelu", "d_model": 48, "num_queries": 30, "decoder_layers": 2, "decoder_attention_heads": 6,
    "decoder_ffn_dim": 88, "decoder_activation_function": "silu", "attention_dropout": 0.3, "num_denoising": 20,
    "label_noise_ratio": 0.4, "box_noise_scale": 0.7, "learn_initial_query": True, "matcher_alpha": 0.3,
    "matcher_gamma": 3.0, "matcher_class_cost": 1.0, "matcher_bbox_cost": 4, "matcher_giou_cost": 3.0,
    "focal_loss_alpha": 0.6, "focal_loss_gamma": 1.5, "weight_loss_vfl": 2.0, "weight_loss_bbox": 6.0,
    "weight_loss_giou": 1.0, "id2label": {"0": "sky", "1": "person"}, "decoder_offset_scale": 0.25,
    "decoder_method": "discrete",
}  # fmt: skip
NECK = {
    "name": "hybrid_encoder", "channels": 96, "num_levels": 3, "num_layers": 2, "num_heads": 4,
    "feedforward_channels": 99, "dropout": 0.1,
    "activation": "relu", "temperature": 50.0, "expansion": 0.5, "fusion_activation": "gelu",
}  # fmt: skip
HEAD = {
    "num_queries": 30, "channels": 48, "num_layers": 2, "num_heads": 6, "feedforward_channels": 88,
    "offset_scale": 0.25,
    "sampling": "nearest", "dropout": 0.1, "attention_dropout": 0.3, "activation": "silu", "learned_queries": True,
    "num_denoising_queries": 20, "label_noise": 0.4, "box_noise": 0.7,
}  # fmt: skip
LOSS = {
    "class_weight": 2.0, "box_weight": 6.0, "giou_weight": 1.0, "class_cost": 1.0, "box_cost": 4.0, "giou_cost": 3.0,
    "alpha": 0.6, "gamma": 1.5, "matching_alpha": 0.3, "matching_gamma": 3.0,
}  # fmt: skip


def recipe(converter, **fields):
    given = converter.recipe({"architectures": [converter.architectures[0]], **fields})
    recipe_from_mapping(given)  # the strict reader takes it
    return given


def test_every_field_of_rt_detr_is_converted():
    given = recipe(RT_DETR, backbone_config=VD, decoder_n_points=3, activation_dropout=0.2, **COMMON)
    assert given["neck"] == {**NECK, "fusion": "csp", "num_blocks": 3, "activation_dropout": 0.2}
    criterion = {"name": "box_set", "classification": "varifocal", **LOSS}
    assert given["head"] == {
        "name": "rt_detr", **HEAD, "num_points": [3, 3, 3], "activation_dropout": 0.2, "criterion": criterion,
    }  # fmt: skip
    assert given["labels"] == ["sky", "person"]
    assert given["training"] == {"freeze": {"stages": 0, "norms": True}}
    assert given["backbone"]["out_indices"] == [2, 3, 4]


def test_every_field_of_d_fine_is_converted():
    own = {
        "decoder_n_points": [3, 6, 3], "depth_mult": 0.34, "max_num_bins": 16, "reg_scale": 8.0, "up": 0.75,
        "top_prob_values": 3, "lqe_hidden_dim": 32, "lqe_layers": 3, "weight_loss_fgl": 0.2, "weight_loss_ddf": 1.0,
        "freeze_backbone_batch_norms": False,
    }  # fmt: skip
    given = recipe(D_FINE, backbone_config=VD, **COMMON, **own)
    assert given["neck"] == {**NECK, "fusion": "elan", "num_blocks": 1}
    edges = {"edge_scale": 8.0, "edge_reach": 0.75}
    weights = {"edge_weight": 0.2, "distillation_weight": 1.0, "matching": "layer"}
    assert given["head"] == {
        "name": "d_fine", **HEAD, **edges, "num_points": [3, 6, 3], "num_bins": 16, "num_quality_bins": 3,
        "quality_channels": 32,
        "num_quality_layers": 3, "criterion": {"name": "edge_box_set", **LOSS, **weights, **edges},
    }  # fmt: skip
    assert given["training"] == {}


@pytest.mark.parametrize("converter", [RT_DETR, D_FINE])
def test_an_empty_file_has_the_defaults_of_transformers(converter):
    given = recipe(converter)
    assert given["backbone"]["config"]["model_type"] == ("hgnet_v2" if converter is D_FINE else "rt_detr_resnet")
    assert given["backbone"]["out_indices"] == [2, 3, 4]
    assert (given["head"]["num_queries"], given["head"]["num_layers"], given["head"]["num_points"]) == (
        300,
        6,
        [4, 4, 4],
    )
    assert given["head"]["num_classes"] == 2


def test_two_levels_are_the_coarsest():
    fields = {"num_feature_levels": 2, "encoder_in_channels": [1, 2], "decoder_in_channels": [3, 4]}
    given = recipe(
        D_FINE, backbone_config={**VD, "out_indices": [3, 4]}, encode_proj_layers=[1], decoder_n_points=6, **fields
    )
    assert (given["neck"]["num_levels"], given["head"]["num_points"]) == (2, [6, 6])


@pytest.mark.parametrize(
    ("converter", "fields", "message"),
    [
        (RT_DETR, {"backbone_config": 3}, "backbone_config is no mapping"),
        (RT_DETR, {"backbone_config": {"model_type": "resnext"}}, "did you mean 'resnet'"),
        (
            RT_DETR,
            {"backbone_config": {**VD, "out_indices": [1, 2, 3]}},
            "strides 4, 8, 16; 3 levels have strides 8, 16",
        ),
        (RT_DETR, {"backbone": "resnet50"}, "backbone='resnet50' is not supported: backbone_config says it"),
        (RT_DETR, {"num_feature_levels": 4}, "num_feature_levels=4 is not supported: the backbone returns 3 levels"),
        (RT_DETR, {"encoder_in_channels": [1, 2]}, r"encoder_in_channels=\[1, 2\] .* one number for each of the 3"),
        (RT_DETR, {"encode_proj_layers": [1, 2]}, "the transformer stands on the coarsest level alone"),
        (RT_DETR, {"normalize_before": True}, "normalize_before=True is not supported: norms stand behind"),
        (RT_DETR, {"eval_size": [640, 640]}, "positions are made for the size of every image"),
        (RT_DETR, {"layer_norm_eps": 1e-6}, "norms have 1e-05"),
        (RT_DETR, {"auxiliary_loss": False}, "every layer is trained"),
        (RT_DETR, {"use_focal_loss": False}, "classes are scored independently"),
        (RT_DETR, {"decoder_method": "cubic"}, "decoder_method: given 'cubic', must be one of default, discrete"),
        (RT_DETR, {"decoder_n_points": [3, 6, 3]}, "decoder_n_points: given .*, must be a whole number"),
        (D_FINE, {"decoder_n_points": [3, 6]}, "or one for each of the 3 levels"),
        (D_FINE, {"decoder_n_points": [3, 0, 3]}, "a whole number of at least 1"),
        (D_FINE, {"layer_scale": 2}, "all layers have the same width"),
        (D_FINE, {"eval_idx": -2}, "the last layer returns the prediction"),
    ],
)
def test_unsupported_fields_are_refused_by_name(converter, fields, message):
    with pytest.raises(RecipeError, match=message):
        recipe(converter, **{"backbone_config": VD, **fields})


@pytest.mark.parametrize(("converter", "name"), [(RT_DETR, "RT-DETR"), (D_FINE, "D-FINE")])
def test_all_faults_are_reported_together(converter, name):
    with pytest.raises(RecipeError) as error:
        recipe(converter, backbone_config={"model_type": "resnext"}, eval_size=3, dropout=2, id2label=[])
    assert len(error.value.faults) == 4
    assert all(fault.startswith(f"{name} config.json: ") for fault in error.value.faults)
