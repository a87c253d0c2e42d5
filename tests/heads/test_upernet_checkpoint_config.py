"""UPerNet's config.json as a recipe: what is supported, what is refused, and that all faults are reported together."""

import pytest

from backbonekit.errors import RecipeError
from backbonekit.heads.upernet.checkpoint import UPERNET
from backbonekit.recipe.validate import recipe_from_mapping

RESNET = {
    "model_type": "resnet",
    "hidden_sizes": [16, 24, 32, 48],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}


def recipe(**fields):
    given = UPERNET.recipe({"architectures": ["UperNetForSemanticSegmentation"], **fields})
    recipe_from_mapping(given)  # the strict reader takes it
    return given


def test_every_field_is_converted():
    given = recipe(
        backbone_config=RESNET,
        hidden_size=64,
        pool_scales=[1, 4],
        use_auxiliary_head=True,
        auxiliary_loss_weight=0.7,
        auxiliary_in_channels=32,
        auxiliary_channels=12,
        loss_ignore_index=254,
        initializer_range=0.5,
        id2label={"0": "sky", "1": "person", "2": "road"},
    )
    assert given["head"] == {
        "name": "upernet",
        "channels": 64,
        "scales": [1, 4],
        "dropout": 0.0,
        "auxiliary": True,
        "auxiliary_channels": 12,
        "auxiliary_level_index": 2,
        "num_deepest_levels": 0,
        "criterion": {"name": "dense_cross_entropy", "auxiliary_weight": 0.7, "ignore_label": 254},
    }
    assert given["labels"] == ["sky", "person", "road"]
    assert given["backbone"]["out_indices"] == [1, 2, 3, 4]
    assert recipe_from_mapping(given).head.options["num_classes"] == 3


def test_an_empty_file_has_the_defaults_of_transformers():
    given = recipe()
    assert given["backbone"]["config"]["depths"] == [3, 4, 6, 3]
    assert given["backbone"]["out_indices"] == [1, 2, 3, 4]
    head = given["head"]
    assert (head["channels"], head["scales"], head["auxiliary"], head["auxiliary_channels"]) == (
        512,
        [1, 2, 3, 6],
        True,
        256,
    )
    assert head["criterion"]["auxiliary_weight"] == 0.4
    assert head["num_classes"] == 2


def test_other_strides_are_taken_as_they_are():
    assert (
        recipe(backbone_config={**RESNET, "out_features": ["stage2", "stage3", "stage4"]})["head"]["num_deepest_levels"]
        == 3
    )
    five = {**RESNET, "out_features": ["stem", "stage1", "stage2", "stage3", "stage4"]}
    assert recipe(backbone_config=five)["head"]["num_deepest_levels"] == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet50"}, "backbone='resnet50' is not supported: backbone_config says it already."),
        ({"auxiliary_num_convs": 2}, "auxiliary_num_convs=2 is not supported"),
        ({"auxiliary_concat_input": True}, "auxiliary_concat_input=True is not supported"),
        ({"pool_scales": [1, 0]}, r"pool_scales=[1, 0] is not supported: it must be 1 to 16 whole numbers"),
        ({"pool_scales": [1] * 17}, "is not supported: it must be 1 to 16 whole numbers"),
        ({"pool_scales": "1, 2"}, "pool_scales=1, 2 is not supported"),
        ({"hidden_size": 0}, "hidden_size: given 0, must be a whole number from 1 to 16,384."),
        ({"auxiliary_in_channels": 31}, "auxiliary_in_channels=31 is not supported: the map that the auxiliary head"),
        ({"backbone_config": 3}, "backbone_config is no mapping."),
        ({"backbone_config": {"model_type": "perceiver"}}, "backbone_config.model_type='perceiver' is not supported"),
        ({"backbone_config": {**RESNET, "out_features": ["stage9"]}}, "no stage 'stage9'"),
        ({"backbone_config": {**RESNET, "out_features": None}}, "names no out_features"),
        ({"backbone_config": {**RESNET, "out_features": ["stage3", "stage4"]}}, "has 2 maps; the auxiliary head"),
    ],
)
def test_unsupported_fields_are_refused(fields, message):
    with pytest.raises(RecipeError) as caught:
        recipe(**{"backbone_config": RESNET, **fields})
    assert message in str(caught.value)


def test_all_faults_are_reported_together():
    with pytest.raises(RecipeError) as caught:
        recipe(backbone_config=RESNET, hidden_size=-1, pool_scales=[], auxiliary_num_convs=3, auxiliary_channels=0)
    assert len(caught.value.faults) == 4
