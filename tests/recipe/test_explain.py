import pytest

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.explain import chain, matching_keys, option_of, unfinished_chain
from backbonekit.recipe.leaves import ABSENT, differences, leaves, lookup
from backbonekit.recipe.trace import Trace


def links(key, model, overrides=(), **options):
    trace = Trace()
    recipe = compose_recipe(model, overrides, trace=trace, **options)
    return [(link.value, link.by, link.source) for link in chain(trace, recipe, key)]


def test_a_default_then_a_file_then_an_override():
    assert links("head.num_queries", "maskformer_resnet50", ["head.num_queries=50"]) == [
        (100, "default", "default of head maskformer"),
        (50, "override", "head.num_queries=50"),
    ]
    assert links("head.auxiliary", "maskformer_resnet50")[1:] == [
        ("normalised", "file", "model/head/maskformer.yaml (shipped)")
    ]


def test_the_file_that_a_file_inherits_from_is_named():
    assert links("head.num_classes", "mask2former_swin_tiny") == [
        (133, "file", "model/mask2former_resnet50.yaml (shipped)")
    ]


def test_an_override_that_repeats_the_value_is_named_too():
    assert links("head.num_classes", "maskformer_resnet50", ["head.num_classes=150"])[-1] == (
        150,
        "override",
        "head.num_classes=150",
    )


def test_a_swap_names_the_file_of_the_new_part():
    assert links("backbone.config.embed_dim", "maskformer_resnet50", ["backbone=swin_tiny"])[-1] == (
        96,
        "override",
        "model/backbone/swin_tiny.yaml (shipped) by backbone=swin_tiny",
    )


def test_what_an_override_does_to_another_key_is_part_of_its_history():
    found = links("labels", {"backbone": "timm/resnet18", "head": "fcn", "labels": ["a", "b"]}, ["head.num_classes=7"])
    assert found == [
        (["a", "b"], "recipe", "the recipe"),
        (None, "override", "head.num_classes=7 (follows from it)"),
    ]


def test_the_number_of_classes_follows_from_labels():
    found = links("head.num_classes", {"backbone": "timm/resnet18", "head": "fcn"}, ["labels=[a,b,c]"])
    assert found[-1] == (3, "inference", "the number of names in labels")


def test_a_reference_and_a_file_of_ones_own(tmp_path):
    file = tmp_path / "model" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("defaults:\n  - maskformer_resnet50\nhead:\n  channels: 3\n  num_classes: ${head.channels}\n")
    found = links("head.num_classes", "mine", config_dir=tmp_path)
    assert [by for _, by, _ in found] == ["file", "file", "reference"]
    assert found[1][2] == str(file)
    assert found[2][0] == 3


def test_one_of_several_necks_and_of_several_tasks():
    necks = "neck=[{name: channel_mapper}, {name: fpn}]"
    assert links("neck.1.channels", "fcn_resnet50", [necks, "neck.1.channels=64"])[-1] == (
        64,
        "override",
        "neck.1.channels=64",
    )
    assert links("heads.depth.loss_weight", "multitask_dinov2_small")[-1][:2] == (0.5, "file")


@pytest.mark.parametrize("name", model_names())
def test_every_value_of_every_shipped_recipe_has_a_history_that_ends_with_it(name):
    trace = Trace()
    recipe = compose_recipe(name, ["backbone.out_indices=[1]"], trace=trace)
    flat = recipe.to_dict()
    for key, value in leaves(flat):
        last = chain(trace, recipe, key)[-1]
        assert last.value == value, key
        assert last.source != "follows from the other values", key


def test_of_a_refused_recipe_what_was_given_is_known():
    trace = Trace()
    with pytest.raises(RecipeError):
        compose_recipe("maskformer_resnet50", ["head.num_classes=-1"], trace=trace)
    assert [link.value for link in unfinished_chain(trace, "head/num_classes")] == [150, -1]


def test_keys_are_found_with_or_without_model_and_a_wrong_one_gets_the_nearest():
    flat = compose_recipe("maskformer_resnet50").to_dict()
    assert matching_keys(flat, "model.head.num_queries") == ["head.num_queries"]
    assert "head.dropout" in matching_keys(flat, "head")
    assert matching_keys(flat, "neck.0.channels") == ["neck.channels"]
    assert len(matching_keys(flat, "")) == len(list(leaves(flat)))
    with pytest.raises(RecipeError, match=r"did you mean head\.num_queries"):
        matching_keys(flat, "num_queries")
    with pytest.raises(RecipeError, match="did you mean"):
        matching_keys(flat, "head.num_querys")


def test_the_option_behind_a_key():
    flat = compose_recipe("mask2former_resnet50").to_dict()
    option = option_of(flat, "head.num_queries")
    assert option is not None
    assert (option.owner, option.default) == ("head mask2former", 100)
    assert option_of(flat, "adapt") is None
    assert option_of(flat, "head.name") is None


def test_differences_hold_what_one_of_two_recipes_lacks():
    before, after = {"a": {"x": 1, "n": None}, "b": []}, {"a": {"x": 2}, "b": [], "c": {}}
    found = {each.key: (each.before, each.after) for each in differences(before, after)}
    assert found == {"a.x": (1, 2), "a.n": (None, ABSENT), "c": (ABSENT, {})}
    assert [each.to_dict() for each in differences(before, after)][1] == {"key": "a.n", "before": None}
    assert differences(before, before) == []


def test_lookup_takes_a_single_neck_for_number_0():
    assert lookup({"neck": {"channels": 3}}, ("neck", "0", "channels")) == 3
    assert lookup({"neck": [{"channels": 3}]}, ("neck", "1", "channels")) is ABSENT
