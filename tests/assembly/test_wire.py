"""How parts come to fit: which maps a model uses, what is inserted, and the messages for what does not fit."""

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hub.saved_model import read_recipe
from backbonekit.necks.channel_mapper import ChannelMapper
from backbonekit.registry import lookup
from tests.assembly.recipes import (
    CLASSIFICATION,
    DINOV2,
    FCN,
    MASKFORMER,
    PIXEL_DECODER,
    RESNET,
    TIMM_CONVNEXT,
    TIMM_RESNET,
    TIMM_VIT,
    maskformer,
)

DECODED = {"neck": PIXEL_DECODER, "head": MASKFORMER}
FCOS = {"name": "fcos", "num_classes": 3}


# messages


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            maskformer(DINOV2, adapt="never"),
            "neck fpn_pixel_decoder requires levels at strides 4, 8, 16, 32; backbone dinov2 has strides 14, 14, 14, "
            "so 4, 8, 32 is missing. The fix: adapt=auto, or put simple_feature_pyramid first in neck.",
        ),
        (
            maskformer({**RESNET, "out_indices": [4]}),
            "neck fpn_pixel_decoder requires levels at strides 4, 8, 16, 32; backbone resnet has stride 32 with "
            "out_indices [4], so 4, 8, 16 is missing. The fix: backbone.out_indices=auto, or "
            "backbone.out_strides=[4, 8, 16, 32].",
        ),
        (
            {"backbone": RESNET, "neck": None, "head": MASKFORMER},
            "head maskformer requires mask_features, which backbone resnet does not return. The fix: "
            "neck=fpn_pixel_decoder (or deformable_pixel_decoder).",
        ),
        (
            {"backbone": RESNET, "neck": {"name": "fpn"}, "head": MASKFORMER},
            "head maskformer requires mask_features, which neck fpn does not return. The fix: "
            "neck=fpn_pixel_decoder (or deformable_pixel_decoder).",
        ),
        (
            {"backbone": RESNET, "heads": {"seg": {"head": MASKFORMER}, "cls": {"head": CLASSIFICATION}}},
            "head maskformer of task seg requires mask_features, which backbone resnet does not return. The fix: "
            "heads.seg.neck=fpn_pixel_decoder (or deformable_pixel_decoder).",
        ),
        (
            {"backbone": {**RESNET, "out_indices": [2, 4]}, "heads": {"cls": {"head": CLASSIFICATION}, "seg": DECODED}},
            "neck fpn_pixel_decoder of task seg requires levels at strides 4, 8, 16, 32; backbone resnet has strides "
            "8, 32 with out_indices [2, 4], so 4, 16 is missing.",
        ),
        (
            {"backbone": {**RESNET, "out_indices": [4]}, "head": FCN},
            "head fcn requires 2 maps; backbone resnet has 1 (stride 32) with out_indices [4]. The fix: "
            "backbone.out_indices=auto.",
        ),
        (
            {"backbone": RESNET, "neck": {**PIXEL_DECODER, "num_deepest_levels": 9}, "head": MASKFORMER},
            "neck fpn_pixel_decoder requires 9 maps; backbone resnet has 5 (strides 4, 4, 8, 16, 32) at most. The fix: "
            "another backbone, or options of neck fpn_pixel_decoder that require at most 5.",
        ),
        (
            {"backbone": {**TIMM_CONVNEXT, "args": {"patch_size": 8}}, **DECODED},
            "backbone convnext_atto has strides 8, 16, 32, 32 at most, so 4 is missing. The fix: "
            "neck.num_deepest_levels=4, or simple_feature_pyramid first in neck, which makes all of them from the last "
            "map, or another backbone.",
        ),
        (
            {"backbone": RESNET, "neck": ["simple_feature_pyramid", "fpn_pixel_decoder"], "head": FCOS},
            "head fcos requires levels at strides 8, 16, 32, 64, 128; neck fpn_pixel_decoder returns strides 4, 8, 16, "
            "32, so 64, 128 is missing. The fix: neck.0.strides=[4,8,16,32,64,128], or fpn last in neck.",
        ),
        (
            {"backbone": RESNET, "neck": "fpn_pixel_decoder", "head": FCOS},
            "so 64, 128 is missing. The fix: fpn first in neck, or fpn last in neck, or simple_feature_pyramid with "
            "strides=[4,8,16,32,64,128] first in neck, which makes all of them from the last map, or another backbone.",
        ),
        (
            {"backbone": RESNET, "neck": "hybrid_encoder", "head": FCOS},
            "neck hybrid_encoder returns strides 8, 16, 32, so 64, 128 is missing. The fix: fpn last in neck.",
        ),
        (
            {"backbone": RESNET, "heads": {"boxes": {"neck": "simple_feature_pyramid", "head": FCOS}}},
            "neck simple_feature_pyramid returns strides 4, 8, 16, 32, so 64, 128 is missing. The fix: "
            "heads.boxes.neck.strides=[8,16,32,64,128], or fpn last in heads.boxes.neck.",
        ),
        (
            {"backbone": {**RESNET, "out_indices": [1, 9]}, "head": FCN},
            "out_indices [1, 9]: 9 out of range; the stages are 0 stem, 1 stage1, 2 stage2, 3 stage3, 4 stage4 (-1 is "
            "the last).",
        ),
        (
            {"backbone": {**RESNET, "out_indices": [-1, 1]}, "head": FCN},
            "out_indices [-1, 1] is not in network order; did you mean [1, 4]?",
        ),
        (
            {"backbone": {**RESNET, "out_features": ["stage5"]}},
            "out_features: no stage 'stage5'; did you mean 'stage4'?",
        ),
        (
            {"backbone": {**RESNET, "out_strides": [64]}},
            "out_strides [64]: no map of stride 64; the strides are 4, 4, 8, 16, 32.",
        ),
        (
            {"backbone": RESNET, "neck": {**PIXEL_DECODER, "channels": 48}, "head": MASKFORMER},
            "neck fpn_pixel_decoder: channels=48 is no multiple of 32",
        ),
        (
            {"backbone": RESNET, "head": {**CLASSIFICATION, "pool": "class_token"}},
            "pool=class_token requires a class token; level stage4 has none.",
        ),
    ],
)
def test_what_does_not_fit_is_reported_with_producer_consumer_and_fix(recipe, message):
    with pytest.raises(ContractError) as caught:
        bk.build_model(recipe)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "fix"),
    [
        (maskformer(DINOV2, adapt="never"), ["adapt=auto"]),
        (maskformer(DINOV2, adapt="never"), ["neck=[{name: simple_feature_pyramid},{name: fpn_pixel_decoder}]"]),
        (maskformer({**RESNET, "out_indices": [4]}), ["backbone.out_indices=auto"]),
        (maskformer({**RESNET, "out_indices": [4]}), ["backbone.out_strides=[4,8,16,32]"]),
        ({"backbone": RESNET, "head": MASKFORMER}, ["neck=fpn_pixel_decoder"]),
        (
            {"backbone": RESNET, "heads": {"seg": {"head": MASKFORMER}, "cls": {"head": CLASSIFICATION}}},
            ["heads.seg.neck=fpn_pixel_decoder"],
        ),
        (
            {"backbone": {**TIMM_CONVNEXT, "args": {"patch_size": 8}}, **DECODED},
            ["neck=[{name: simple_feature_pyramid, channels: 32},{name: fpn_pixel_decoder}]"],
        ),
        (
            {"backbone": RESNET, "neck": ["simple_feature_pyramid", "fpn_pixel_decoder"], "head": FCOS},
            ["neck.0.strides=[4,8,16,32,64,128]"],
        ),
        ({"backbone": RESNET, "neck": "fpn_pixel_decoder", "head": FCOS}, ["neck=[fpn,fpn_pixel_decoder]"]),
        ({"backbone": RESNET, "neck": "hybrid_encoder", "head": FCOS}, ["neck=[hybrid_encoder,fpn]"]),
    ],
)
def test_the_fix_that_a_message_names_works(recipe, fix):
    with pytest.raises(ContractError):
        bk.build_model(recipe)
    assert bk.build_model(recipe, fix)


def test_a_neck_behind_a_pyramid_grows_too():
    recipe = {"backbone": RESNET, "neck": ["simple_feature_pyramid", "fpn"], "head": FCOS}
    model = bk.build_model(recipe)
    assert [part.options.get("num_extra_levels") for part in model.recipe.neck] == [None, 2]
    assert any("coarser levels than neck simple_feature_pyramid has" in note for note in model.weight_report.notes)
    with pytest.raises(ContractError, match=r"fix: neck.0.strides=\[8,16,32,64,128\], or neck.1.num_extra_levels=2"):
        bk.build_model({**recipe, "adapt": "never"})


def test_an_unknown_option_of_a_registered_part_is_reported_with_the_nearest(monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {})
    bk.register("neck", "own_mapper", ChannelMapper)
    own = {"name": "own_mapper", "chanels": 8, "norms": "group"}
    with pytest.raises(RecipeError) as caught:
        bk.build_model({"backbone": RESNET, "heads": {"seg": {"neck": own, "head": FCN}, "b": {"head": FCN}}})
    assert len(caught.value.faults) == 2
    assert "heads.seg.neck.chanels: own_mapper has no such option; did you mean 'channels'?" in str(caught.value)
    assert "heads.seg.neck.norms: own_mapper has no such option; did you mean 'norm'?" in str(caught.value)
    assert bk.build_model({"backbone": RESNET, "neck": {"name": "own_mapper", "channels": 32}})


# which maps


@pytest.mark.parametrize(
    ("backbone", "rest", "chosen"),
    [
        (RESNET, DECODED, (1, 2, 3, 4)),
        (TIMM_RESNET, DECODED, (1, 2, 3, 4)),
        (TIMM_CONVNEXT, DECODED, (0, 1, 2, 3)),
        (RESNET, {"head": CLASSIFICATION}, (4,)),
        (RESNET, {"head": FCN}, (3, 4)),
        (RESNET, {"neck": {"name": "fpn"}, "head": FCN}, (3, 4)),
        (RESNET, {"neck": {"name": "fpn"}}, (1, 2, 3, 4)),
        (RESNET, {}, (4,)),
        (TIMM_VIT, {"neck": {**PIXEL_DECODER, "num_deepest_levels": 2}, "head": MASKFORMER}, (0, 1)),
        (TIMM_VIT, {"head": {**CLASSIFICATION, "pool": "class_token"}}, (1,)),
    ],
)
def test_auto_takes_what_the_next_part_needs(backbone, rest, chosen):
    model = bk.build_model({"backbone": {**backbone, "out_indices": "auto"}, **rest})
    assert model.recipe.backbone.out_indices == chosen
    assert len(model(torch.randn(1, 3, 64, 64)).feature_maps) == len(chosen)


def test_several_tasks_get_the_union_and_each_its_own():
    heads = {"seg": DECODED, "dense": {"head": FCN}, "cls": {"head": CLASSIFICATION}}
    model = bk.build_model({"backbone": RESNET, "heads": heads})
    assert model.recipe.backbone.out_indices == (1, 2, 3, 4)
    levels = {name: task.levels for name, task in model.tasks.items()}
    assert levels == {"seg": (0, 1, 2, 3), "dense": (2, 3), "cls": (3,)}
    output = model(torch.randn(2, 3, 64, 64))
    assert list(output.predictions) == ["seg", "dense", "cls"]
    assert output.predictions["cls"].logits.shape == (2, 4)


def test_more_maps_than_a_part_needs_are_given_but_not_to_it():
    model = bk.build_model({"backbone": {**RESNET, "out_indices": [0, 1, 4]}, "head": CLASSIFICATION})
    assert len(model(torch.randn(1, 3, 64, 64)).feature_maps) == 3
    assert model.tasks[""].levels == (2,)


def test_stages_that_no_part_needs_are_not_built():
    whole = bk.build_model({"backbone": RESNET, "head": CLASSIFICATION})
    early = bk.build_model({"backbone": {**RESNET, "out_indices": [2]}, "head": CLASSIFICATION})
    assert any("layer4" in name for name in whole.state_dict())
    assert not any("layer3" in name or "layer4" in name for name in early.state_dict())


# the inserted pyramid


def test_an_inserted_pyramid_is_reported_and_recorded(tmp_path):
    model = bk.build_model(maskformer(TIMM_VIT))
    assert model.weight_report is not None
    (note,) = model.weight_report.notes
    assert note == (
        "simple_feature_pyramid inserted: neck fpn_pixel_decoder requires levels at strides 4, 8, 16, 32; "
        "vit_tiny_patch16_224 has the single stride 16 (adapt: never refuses this instead)"
    )
    saved, _ = read_recipe(model.save_pretrained(tmp_path / "m1") / "recipe.yaml")
    assert [neck["name"] for neck in saved["neck"]] == ["simple_feature_pyramid", "fpn_pixel_decoder"]
    assert saved["backbone"]["out_indices"] == [1]
    # Recorded, so it is a part like any other: nothing is left to insert.
    again = bk.build_model({**saved, "adapt": "never"})
    assert again.weight_report is not None
    assert again.weight_report.notes == []
    assert again.recipe.neck == model.recipe.neck


def test_a_pyramid_is_inserted_for_the_task_that_requires_one():
    heads = {"seg": DECODED, "cls": {"head": {**CLASSIFICATION, "pool": "class_token"}}}
    model = bk.build_model({"backbone": DINOV2, "heads": heads})
    assert [part.name for part in model.recipe.heads["seg"].neck] == ["simple_feature_pyramid", "fpn_pixel_decoder"]
    assert model.recipe.heads["cls"].neck == ()
    assert model.recipe.backbone.out_indices == (2,)


def test_an_inserted_pyramid_keeps_the_backbones_own_stride_for_a_head_that_requires_the_deepest_too():
    """DeepLabV3+ reads stride 4 and the deepest map, which of a plain transformer is that of its patches."""
    model = bk.build_model({"backbone": TIMM_VIT, "head": {"name": "deeplabv3plus", "num_classes": 4}})
    assert model.recipe.neck[0].options["strides"] == (4, 16)
    model = bk.build_model({"backbone": TIMM_VIT, "head": {"name": "segformer", "num_classes": 4}})
    assert model.recipe.neck[0].options["strides"] == (4, 8, 16, 32)


def test_an_inserted_pyramid_goes_when_a_backbone_comes_that_needs_none(tmp_path):
    folder = bk.build_model(maskformer(TIMM_VIT)).save_pretrained(tmp_path / "m1")
    model = bk.load_model(folder, ["backbone=timm/resnet10t"])
    assert [part.name for part in model.recipe.neck] == ["fpn_pixel_decoder"]
    assert model.recipe.backbone.out_indices == (1, 2, 3, 4)


# the guide


SMALL_HEAD = ["neck.channels=64", "head.num_layers=1", "head.feedforward_channels=64", "head.num_queries=5"]


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        # MaskFormerConfig(backbone="microsoft/resnet-50")
        ("maskformer_resnet50", []),
        # MaskFormerConfig(backbone_config=ResNetConfig())
        (maskformer({"source": "hf", "config": bk.ResNetConfig().to_mapping()}), []),
        # MaskFormerConfig(backbone="resnet50", use_timm_backbone=True), and with TimmBackboneConfig("resnet50")
        ("maskformer_resnet50", ["backbone=timm/resnet50"]),
    ],
)
def test_the_guides_maskformers_run_with_default_indices(recipe, overrides):
    """With transformers 5.23 all three are constructed and none of them runs: one map enters a decoder of four."""
    model = bk.build_model(recipe, [*overrides, *SMALL_HEAD])
    output = model(torch.randn(1, 3, 64, 64))
    assert [tuple(level.shape) for level in output.feature_maps] == [
        (1, 256, 16, 16),
        (1, 512, 8, 8),
        (1, 1024, 4, 4),
        (1, 2048, 2, 2),
    ]
    assert output.predictions.mask_logits.shape == (1, 5, 16, 16)
