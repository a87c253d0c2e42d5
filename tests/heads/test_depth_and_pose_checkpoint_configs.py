"""config.json files of DPT, Depth Anything and ViTPose as recipes: what is supported, what is refused, all at once."""

import pytest

from backbonekit.errors import RecipeError
from backbonekit.heads.depth_anything.checkpoint import DEPTH_ANYTHING
from backbonekit.heads.dpt.checkpoint import DPT
from backbonekit.heads.vitpose.checkpoint import VITPOSE
from backbonekit.recipe.validate import recipe_from_mapping

DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 24,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "out_indices": [3, 6, 9, 12],
    "reshape_hidden_states": False,
}
SWINV2 = {
    "model_type": "swinv2",
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "out_indices": [1, 2, 3, 4],
}


def recipe(converter, **fields):
    given = converter.recipe({"architectures": list(converter.architectures), **fields})
    recipe_from_mapping(given)  # the strict reader takes it
    return given


def faults(converter, **fields):
    with pytest.raises(RecipeError) as raised:
        converter.recipe({"architectures": list(converter.architectures), **fields})
    return "\n".join(raised.value.faults)


def test_every_field_of_dpt_is_converted():
    given = recipe(
        DPT,
        backbone_config=DINOV2,
        neck_hidden_sizes=[6, 8, 10, 12],
        reassemble_factors=[2, 1, 1, 0.5],
        fusion_hidden_size=256,
        readout_type="add",
        use_batch_norm_in_fusion_residual=True,
        add_projection=True,
        backbone_out_indices=None,
        hidden_size=99,
        id2label={"0": "x"},
    )
    assert given["backbone"]["out_indices"] == [3, 6, 9, 12]
    assert given["neck"] == {
        "name": "dpt_reassemble",
        "channels": 256,
        "level_channels": [6, 8, 10, 12],
        "factors": [2.0, 1.0, 1.0, 0.5],
        "readout": "add",
    }
    assert given["head"] == {"name": "dpt", "norm": "batch", "bias": False, "project": True}
    assert given["labels"] is None


def test_omitted_fields_of_dpt_have_the_defaults_of_transformers():
    given = recipe(DPT, backbone_config=DINOV2)
    assert given["neck"]["level_channels"] == [96, 192, 384, 768]
    assert (given["neck"]["channels"], given["neck"]["readout"]) == (256, "project")
    assert given["head"] == {"name": "dpt", "norm": "none", "bias": True, "project": False}


def test_a_pyramid_enters_the_fusion_as_it_is():
    given = recipe(DPT, backbone_config=SWINV2, neck_hidden_sizes=[8, 16, 32, 64], readout_type="project")
    assert given["neck"]["level_channels"] is None
    assert given["neck"]["readout"] == "ignore"
    wrong = faults(DPT, backbone_config=SWINV2, neck_hidden_sizes=[8, 16, 32, 65])
    assert "neck_hidden_sizes=[8, 16, 32, 65] is not supported: the backbone's maps have [8, 16, 32, 64]" in wrong


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "has a transformer of its own, which is not built here. The fix: a DPT with a backbone_config"),
        ({"is_hybrid": True, "backbone_config": {"model_type": "bit"}}, "is_hybrid=True is not supported: a ResNet"),
        (
            {"backbone_config": {"model_type": "resnet"}},
            "model_type='resnet' is not supported, only dinov2, beit, swinv2",
        ),
        ({"backbone_config": {**DINOV2, "out_indices": [6, 12]}}, "it returns 2 maps and neck_hidden_sizes has 4"),
        (
            {"backbone_config": DINOV2, "readout_type": "sum"},
            "readout_type: given 'sum', must be one of ignore, add, project",
        ),
        ({"backbone_config": DINOV2, "hidden_act": "relu"}, "hidden_act='relu' is not supported: the class token"),
        (
            {"backbone_config": DINOV2, "head_in_index": 1},
            "head_in_index=1 is not supported: the head reads",
        ),
        ({"backbone_config": DINOV2, "add_projection": True, "fusion_hidden_size": 64}, "transformers projects 256"),
        (
            {"backbone_config": DINOV2, "neck_hidden_sizes": [1, "2"]},
            "neck_hidden_sizes.1: given '2', must be a whole number",
        ),
        (
            {"backbone_config": DINOV2, "reassemble_factors": [4, -2]},
            "reassemble_factors.1: given -2, must be a number from 0.001",
        ),
        ({"backbone_config": DINOV2, "reassemble_factors": [4, 2]}, "has 4 numbers and reassemble_factors 2"),
        ({"backbone_config": []}, "backbone_config is no mapping"),
    ],
)
def test_unsupported_fields_of_dpt_are_refused(fields, message):
    assert message in faults(DPT, **fields)


def test_all_faults_are_reported_together():
    said = faults(DPT, backbone_config=DINOV2, readout_type="sum", hidden_act="relu", fusion_hidden_size=0)
    assert len(said.splitlines()) == 3
    assert all(line.startswith("DPT config.json: ") for line in said.splitlines())


def test_depth_anything_metric_and_relative():
    fields = {"backbone_config": DINOV2, "reassemble_hidden_size": 24, "head_hidden_size": 6}
    given = recipe(DEPTH_ANYTHING, **fields, depth_estimation_type="metric", max_depth=80)
    assert given["head"] == {
        "name": "depth_anything",
        "hidden_channels": 6,
        "metric": True,
        "max_depth": 80.0,
        "criterion": {"name": "metric_depth"},
    }
    assert "criterion" not in recipe(DEPTH_ANYTHING, **fields)["head"]


def test_an_empty_depth_anything_has_the_defaults_of_transformers():
    given = recipe(DEPTH_ANYTHING)
    assert given["backbone"]["config"]["hidden_size"] == 384
    assert given["backbone"]["out_indices"] == [9, 10, 11, 12]
    assert given["neck"]["level_channels"] == [48, 96, 192, 384]
    assert given["neck"]["channels"] == 64
    assert given["head"]["hidden_channels"] == 32


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": 16}, "patch_size=16 is not supported: the backbone's patches have 14 pixels"),
        ({"reassemble_hidden_size": 100}, "reassemble_hidden_size=100 is not supported: the backbone's maps have 384"),
        ({"depth_estimation_type": "both"}, "depth_estimation_type: given 'both', must be one of relative, metric"),
        ({"max_depth": -1}, "max_depth: given -1, must be a number from"),
        ({"backbone_config": {"model_type": "resnet"}}, "model_type='resnet' is not supported, only dinov2, beit"),
        ({"backbone_config": {**DINOV2, "hidden_size": "wide"}}, "hidden_size"),
    ],
)
def test_unsupported_fields_of_depth_anything_are_refused(fields, message):
    assert message in faults(DEPTH_ANYTHING, **fields)


def test_vitpose_with_names_and_without():
    given = recipe(VITPOSE, id2label={"0": "nose", "1": "left_eye"}, edges=[[0, 1]], scale_factor=2)
    assert given["head"] == {"name": "vitpose", "decoder": "simple", "scale": 2}
    assert given["labels"] == ["nose", "left_eye"]
    assert recipe_from_mapping(given).head.options["num_classes"] == 2
    given = recipe(VITPOSE, num_labels=17, use_simple_decoder=False)
    assert (given["head"]["decoder"], given["head"]["num_classes"]) == ("classic", 17)
    assert given["backbone"]["config"]["model_type"] == "vitpose_backbone"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"backbone_config": {"model_type": "dinov2"}},
            "model_type='dinov2' is not supported, only 'vitpose_backbone'",
        ),
        ({"scale_factor": 0}, "scale_factor: given 0, must be a whole number from 1 to 64"),
    ],
)
def test_unsupported_fields_of_vitpose_are_refused(fields, message):
    assert message in faults(VITPOSE, **fields)
