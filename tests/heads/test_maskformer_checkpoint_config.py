"""MaskFormer's config.json as a recipe: what is supported, what is refused, and that all faults are reported."""

import pytest

from backbonekit.errors import RecipeError
from backbonekit.heads.maskformer.checkpoint import MASKFORMER
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.recipe.validate import recipe_from_mapping

RESNET = {
    "model_type": "resnet",
    "hidden_sizes": [16, 24, 32, 48],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
SWIN = {"model_type": "swin", "embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4}


def recipe(**fields):
    given = MASKFORMER.recipe({"architectures": ["MaskFormerForInstanceSegmentation"], **fields})
    recipe_from_mapping(given)  # the strict reader takes it
    return given


def test_every_field_is_converted():
    given = recipe(
        backbone_config=RESNET,
        decoder_config={
            "model_type": "detr",
            "num_queries": 30,
            "d_model": 64,
            "decoder_layers": 2,
            "decoder_attention_heads": 4,
            "decoder_ffn_dim": 99,
            "dropout": 0.2,
            "attention_dropout": 0.3,
            "activation_dropout": 0.4,
            "activation_function": "swish",
            "encoder_layers": 7,
            "bbox_cost": 5,
        },
        fpn_feature_size=96,
        mask_feature_size=80,
        no_object_weight=0.3,
        cross_entropy_weight=2,
        mask_weight=5.0,
        dice_weight=4.0,
        use_auxiliary_loss=True,
        id2label={"0": "sky", "1": "person", "2": "road"},
    )
    assert given["neck"] == {"name": "fpn_pixel_decoder", "channels": 96, "mask_channels": 80, "num_deepest_levels": 0}
    assert given["head"] == {
        "name": "maskformer",
        "num_queries": 30,
        "channels": 64,
        "num_layers": 2,
        "num_heads": 4,
        "feedforward_channels": 99,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "activation_dropout": 0.4,
        "activation": "silu",
        "auxiliary": "raw",
        "criterion": {
            "name": "mask_set",
            "class_weight": 2.0,
            "mask_weight": 5.0,
            "dice_weight": 4.0,
            "no_object_weight": 0.3,
        },
    }
    assert given["labels"] == ["sky", "person", "road"]
    backbone = given["backbone"]
    assert (backbone["source"], backbone["name"], backbone["pretrained"]) == ("hf", None, False)
    assert backbone["out_indices"] == [1, 2, 3, 4]
    assert backbone["config"]["depths"] == [1, 1, 1, 1]
    assert recipe_from_mapping(given).head.options["num_classes"] == 3


def test_an_empty_file_has_the_defaults_of_transformers():
    given = recipe()
    assert given["backbone"]["config"]["model_type"] == "maskformer-swin"
    assert given["backbone"]["config"]["depths"] == [2, 2, 18, 2]
    assert (given["neck"]["channels"], given["neck"]["mask_channels"]) == (256, 256)
    assert (given["head"]["num_queries"], given["head"]["num_layers"], given["head"]["auxiliary"]) == (100, 6, "none")
    assert given["head"]["num_classes"] == 2


@pytest.mark.parametrize("selection", [{}, {"out_features": ["stage4"]}, {"_out_indices": [2]}])
def test_swin_becomes_its_variant_with_all_four_maps(selection):
    backbone = recipe(backbone_config={**SWIN, "path_norm": True, **selection})["backbone"]
    assert backbone["config"]["model_type"] == "maskformer-swin"
    assert backbone["out_indices"] == [1, 2, 3, 4]


def test_maps_that_are_no_pyramid_are_folded_as_they_are():
    plain = {"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
    given = recipe(backbone_config={**plain, "out_indices": [1, 2, -1]})
    assert given["backbone"]["out_indices"] == [1, 2, 4]
    assert given["neck"]["num_deepest_levels"] == 3
    assert recipe(backbone_config={**RESNET, "out_features": ["stage2", "stage3"]})["neck"]["num_deepest_levels"] == 2


def test_maps_without_a_selection_are_chosen_in_assembly():
    given = recipe(backbone_config={key: value for key, value in RESNET.items() if key != "out_features"})
    assert given["backbone"]["out_indices"] == "auto"
    assert "num_deepest_levels" not in given["neck"]


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18", "out_indices": [1, 2, 3, 4]}},
        {"backbone": "resnet18", "use_timm_backbone": True, "backbone_kwargs": {"out_indices": [1, 2, 3, 4]}},
    ],
)
def test_timm_backbones(fields):
    given = recipe(**fields)
    assert (given["backbone"]["source"], given["backbone"]["name"]) == ("timm", "resnet18")
    assert given["backbone"]["out_indices"] == [1, 2, 3, 4]
    assert given["neck"]["num_deepest_levels"] == 0


def test_a_timm_backbones_output_stride_is_an_argument():
    config = {"model_type": "timm_backbone", "backbone": "resnet18", "out_indices": [1, 4], "output_stride": 16}
    assert recipe(backbone_config=config)["backbone"]["args"] == {"output_stride": 16}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"backbone_config": {"model_type": "resnext"}},
            r"model_type='resnext' is not supported; did you mean 'resnet'",
        ),
        (
            {"backbone_config": {**RESNET, "out_features": ["stage9"]}},
            "backbone_config: out_features: no stage 'stage9'",
        ),
        (
            {"backbone_config": {**RESNET, "out_features": ["stage4"]}},
            "returns 1 map .stage4. and the pixel decoder requires",
        ),
        ({"backbone_config": 3}, "backbone_config is no mapping"),
        ({"backbone": "microsoft/resnet-50"}, "backbone='microsoft/resnet-50' is not supported: backbone_config says"),
        ({"backbone": "microsoft/resnet-50", "backbone_config": None}, "without a backbone_config"),
        ({"backbone_config": {"model_type": "timm_backbone"}}, "must name a timm architecture"),
        (
            {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18", "freeze_batch_norm_2d": 1}},
            "freeze_batch_norm_2d: given 1, must be true or false",
        ),
        ({"decoder_config": {"model_type": "bart"}}, "only 'detr'"),
        ({"decoder_config": {"auxiliary_loss": True}}, "auxiliary_loss=True is not supported: it puts the final norm"),
        (
            {"decoder_config": {"activation_function": "mish"}},
            "activation_function: given 'mish', must be one of relu, gelu",
        ),
        ({"num_queries": 7}, "num_queries=7 is not supported: decoder_config.num_queries is what counts"),
        ({"mask_feature_size": "wide"}, "mask_feature_size: given 'wide', must be a whole number"),
        ({"mask_weight": float("nan")}, "mask_weight: given nan"),
        ({"use_auxiliary_loss": "yes"}, "use_auxiliary_loss: given 'yes', must be true or false"),
        ({"id2label": {"0": "a", "two": "b"}}, "the key 'two' is no class index"),
    ],
)
def test_unsupported_fields_are_refused_by_name(fields, message):
    with pytest.raises(RecipeError, match=message):
        recipe(**{"backbone_config": RESNET, **fields})


def test_frozen_batch_norm_is_advice_for_training():
    nested = {"model_type": "timm_backbone", "backbone": "resnet18", "out_indices": [1, 2, 3, 4]}
    assert recipe(backbone_config={**nested, "freeze_batch_norm_2d": True})["training"] == {"freeze": {"norms": True}}
    assert recipe(backbone_config=nested)["training"] == {}


def test_all_faults_are_reported_together():
    with pytest.raises(RecipeError) as error:
        recipe(
            backbone_config={"model_type": "resnext"},
            decoder_config={"auxiliary_loss": True, "dropout": 2},
            dice_weight=-1,
            id2label=[],
        )
    assert len(error.value.faults) == 5
    assert all(fault.startswith("MaskFormer config.json: ") for fault in error.value.faults)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, (None, 2)),
        ({"num_labels": 7}, (None, 7)),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, (None, 3)),
        ({"id2label": {1: "b", 0: "a"}, "num_labels": 9}, (["a", "b"], 2)),
        ({"id2label": {"0": "a", "1": ""}}, (["a", "1"], 2)),
        ({"id2label": {"1": "b", "2": "c"}}, (["0", "b"], 2)),
        ({"id2label": {"-1": "a", "0": "b"}}, (["b", "1"], 2)),
        ({"id2label": {"0": 7, "1": "b\n"}}, (["7", "b"], 2)),
        ({"id2label": {str(number): str(number) for number in reversed(range(11))}}, ([str(n) for n in range(11)], 11)),
    ],
)
def test_class_names(config, expected):
    faults = []
    assert read_class_names(config, faults) == expected
    assert not faults


@pytest.mark.parametrize(
    "config",
    [{"num_labels": 0}, {"num_labels": True}, {"id2label": {}}, {"id2label": {"0": "a\nb"}}, {"id2label": {"0": None}}],
)
def test_class_names_that_are_none(config):
    faults = []
    read_class_names(config, faults)
    assert len(faults) == 1


def test_the_first_files_of_the_hub_say_channels_in_their_own_words():
    config = {"backbone_config": {"model_type": "swin", "in_channels": 4}}
    assert recipe(**config)["backbone"]["in_channels"] == 4
