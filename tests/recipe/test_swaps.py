"""Swapping a part replaces it: nothing of the old one's options reaches the new one, in whatever direction."""

import itertools

import pytest

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, part_names
from backbonekit.recipe.recipe import Recipe
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import options

BACKBONES = part_names("backbone")
START = {
    "backbone": {
        "name": "microsoft/resnet-50",
        "config": {"model_type": "resnet", "depths": [1, 1, 1, 1]},
        "pretrained": True,
        "revision": "abc",
        "out_indices": [1, 2, 3, 4],
        "args": {"drop_path_rate": 0.25},
    },
    "neck": {"name": "fpn", "channels": 48},
    "head": {"name": "maskformer", "num_classes": 17, "dropout": 0.75, "criterion": {"dice_weight": 9}},
    "processing": {"shortest_edge": 99, "mean": [0.1, 0.2, 0.3]},
}


def start(**changes) -> Recipe:
    return compose_recipe({**START, **changes})


@pytest.mark.parametrize("name", [*BACKBONES, "timm/resnet34d.ra2_in1k", "somebody/something"])
def test_backbones(name):
    swapped = compose_recipe(start(), [f"backbone={name}"])
    fresh = compose_recipe({"backbone": name})
    assert swapped.backbone == fresh.backbone
    assert swapped.neck == start().neck
    assert swapped.head == start().head
    assert swapped.processing == {"shortest_edge": 99}
    (note,) = swapped.notes
    for dropped in ("pretrained=true", "revision='abc'", "out_indices=[1, 2, 3, 4]", "drop_path_rate", "mean="):
        assert dropped in note


@pytest.mark.parametrize(
    "override",
    [
        "model/backbone=resnet18",
        "model.backbone=resnet18",
        "backbone=resnet18",
        "+backbone=resnet18",
        "++model/backbone=resnet18",
        'backbone="resnet18"',
    ],
)
def test_spellings_of_a_swap(override):
    assert compose_recipe(start(), [override]).backbone == compose_recipe({"backbone": "resnet18"}).backbone


def test_another_name_is_another_backbone():
    for override in ("backbone.name=microsoft/resnet-18", "backbone={name: microsoft/resnet-18}"):
        backbone = compose_recipe(start(), [override]).backbone
        assert backbone == compose_recipe({"backbone": {"name": "microsoft/resnet-18"}}).backbone


def test_another_model_type_is_another_architecture():
    backbone = compose_recipe(start(), ["backbone.config.model_type=swin"]).backbone
    assert backbone.config == {"model_type": "swin"}
    assert backbone.out_indices is None


def test_the_same_backbone_with_other_fields_stays():
    backbone = compose_recipe(start(), ["backbone.config.depths=[2,2,2,2]", "backbone.pretrained=false"]).backbone
    assert backbone.config == {"model_type": "resnet", "depths": [2, 2, 2, 2]}
    assert backbone.out_indices == (1, 2, 3, 4)


def test_input_channels_are_the_images_not_the_backbones():
    recipe = start(backbone={**START["backbone"], "in_channels": 5}, processing={})
    assert compose_recipe(recipe, ["backbone=swin_tiny"]).backbone.in_channels == 5
    assert compose_recipe(recipe, ["backbone=swin_tiny", "backbone.in_channels=1"]).backbone.in_channels == 1


def test_options_beside_a_swap_are_the_new_parts_whatever_the_order():
    for overrides in itertools.permutations(["backbone=swin_tiny", "backbone.pretrained=true", "head.num_classes=2"]):
        recipe = compose_recipe(start(), overrides)
        assert recipe.backbone.pretrained is True
        assert recipe.backbone.out_indices is None


def another(kind: str, name: str) -> tuple[str, object]:
    """An option of this part with a value that is not its default."""
    for option, entry in options(kind, name).items():
        default, schema = entry.get("default"), entry["schema"]
        if "enum" in schema:
            return option, next(value for value in schema["enum"] if value != default)
        if option != "num_classes" and isinstance(default, bool):
            return option, not default
        if option != "num_classes" and isinstance(default, int | float):
            inner = schema if "maximum" in schema else next(one for one in schema["anyOf"] if "maximum" in one)
            return option, default * 2 if default and default * 2 <= inner["maximum"] else inner["maximum"]
    raise AssertionError(f"{name} has no option to change")


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(BUILTIN["neck"], 2)))
def test_necks(old, new):
    option, value = another("neck", old)
    recipe = start(neck={"name": old, option: value})
    for override in (f"neck={new}", f"neck.name={new}", f"neck={{name: {new}}}", f"neck=[{new}]"):
        assert compose_recipe(recipe, [override]).neck == start(neck=new).neck
    assert any(f"{option}=" in note for note in compose_recipe(recipe, [f"neck={new}"]).notes)


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(BUILTIN["head"], 2)))
def test_heads(old, new):
    """Classes stay where both have some; of a head that has none they are set anew."""
    option, value = another("head", old)
    has, takes = ("num_classes" in options("head", name) for name in (old, new))
    recipe = start(head={"name": old, option: value, **({"num_classes": 17} if has else {})})
    fresh = start(head={"name": new, **({"num_classes": 17} if takes else {})}).head
    classes = ["head.num_classes=17"] if takes and not has else []
    for override in (f"head={new}", f"head.name={new}", f"head={{name: {new}}}"):
        assert compose_recipe(recipe, [override, *classes]).head == fresh
    notes = compose_recipe(recipe, [f"head={new}", *classes]).notes
    assert any(f"{option}=" in note for note in notes)
    assert any("kept num_classes=17" in note for note in notes) == (has and takes)


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(BUILTIN["criterion"], 2)))
def test_criteria(old, new):
    recipe = start(head={"name": "fcn", "num_classes": 3, "criterion": old})
    for override in (f"head.criterion={new}", f"head.criterion.name={new}", f"model/head/criterion={new}"):
        head = compose_recipe(recipe, [override]).head
        assert head == start(head={"name": "fcn", "num_classes": 3, "criterion": new}).head


@pytest.mark.parametrize("before", [None, "fpn", ["fpn", "channel_mapper"]])
@pytest.mark.parametrize("after", ["null", "channel_mapper", "[channel_mapper,fpn]", "{name: fpn_pixel_decoder}", "[]"])
def test_null_one_and_several_replace_each_other(before, after):
    neck = compose_recipe(start(neck=before), [f"neck={after}"]).neck
    expected = {
        "null": [],
        "[]": [],
        "channel_mapper": ["channel_mapper"],
        "[channel_mapper,fpn]": ["channel_mapper", "fpn"],
    }
    assert [part.name for part in neck] == expected.get(after, ["fpn_pixel_decoder"])


def test_one_of_several_necks():
    recipe = start(neck=["fpn", "channel_mapper"])
    changed = compose_recipe(recipe, ["neck.0.channels=32", "neck.1=fpn_pixel_decoder"])
    assert changed.neck[0].options["channels"] == 32
    assert changed.neck[1] == start(neck="fpn_pixel_decoder").neck[0]
    with pytest.raises(RecipeError, match="there are 2 necks"):
        compose_recipe(recipe, ["neck.2.channels=32"])
    with pytest.raises(RecipeError, match=r"neck\.name is missing"):
        compose_recipe(recipe, ["neck.channels=32"])
    assert compose_recipe(start(neck=["fpn"]), ["neck.channels=32"]).neck[0].options["channels"] == 32
    assert compose_recipe(start(neck="fpn"), ["neck.0.channels=32"]).neck[0].options["channels"] == 32


def test_head_and_heads_replace_each_other():
    tasks = compose_recipe(start(), ["heads={seg: {head: {name: fcn, num_classes: 2}}}"])
    assert tasks.head is None
    assert tasks.neck == ()
    assert list(tasks.heads) == ["seg"]
    back = compose_recipe(tasks, ["head=classification", "head.num_classes=4"])
    assert not back.heads
    assert back.head is not None


def test_swaps_within_a_task():
    tasks = start(
        head=None,
        neck=None,
        heads={
            "seg": {"head": {"name": "fcn", "num_classes": 2, "dropout": 0.75}, "neck": "fpn"},
            "kind": {"head": {"name": "classification", "num_classes": 9}},
        },
    )
    swapped = compose_recipe(
        tasks, ["heads.seg.head=classification", "heads.seg.neck=null", "heads.kind.loss_weight=3"]
    )
    assert swapped.heads["seg"].head.options["num_classes"] == 2
    assert swapped.heads["seg"].head.options["dropout"] == 0.0
    assert swapped.heads["seg"].neck == ()
    assert swapped.heads["kind"].loss_weight == 3.0
    assert list(compose_recipe(tasks, ["~heads.kind"]).heads) == ["seg"]
    added = compose_recipe(tasks, ["heads.more.head=fcn", "heads.more.head.num_classes=3"])
    assert list(added.heads) == ["seg", "kind", "more"]


def test_an_inserted_pyramid_goes_with_its_backbone():
    saved = start(
        backbone={"name": "facebook/dinov2-small", "config": {"model_type": "dinov2"}, "out_indices": [12]},
        neck=[{"name": "simple_feature_pyramid", "strides": [4, 8, 16, 32]}, {"name": "fpn_pixel_decoder"}],
    )
    swapped = compose_recipe(saved, ["backbone=resnet18"])
    assert [part.name for part in swapped.neck] == ["fpn_pixel_decoder"]
    assert any("simple_feature_pyramid" in note for note in swapped.notes)
    kept = compose_recipe(saved, ["backbone=resnet18", "adapt=never"])
    assert [part.name for part in kept.neck] == ["fpn_pixel_decoder"]


def test_which_maps_is_said_in_one_way():
    recipe = compose_recipe(start(), ["backbone.out_features=[stage1,stage2]"])
    assert (recipe.backbone.out_indices, recipe.backbone.out_features) == (None, ("stage1", "stage2"))
    recipe = compose_recipe(recipe, ["backbone.out_strides=[8,16]"])
    assert (recipe.backbone.out_features, recipe.backbone.out_strides) == (None, (8, 16))
    recipe = compose_recipe(recipe, ["backbone.out_indices=auto"])
    assert (recipe.backbone.out_indices, recipe.backbone.out_strides) == (None, None)


def test_labels_and_classes_follow_whichever_is_said_last():
    named = compose_recipe(start(), ["labels=[a,b]"])
    assert named.head is not None
    assert named.head.options["num_classes"] == 2
    counted = compose_recipe(named, ["head.num_classes=7"])
    assert counted.labels is None
    assert counted.notes == ("labels: the 2 names are dropped, since head.num_classes=7.",)
    assert compose_recipe(named, ["head.num_classes=2"]).labels == named.labels
    with pytest.raises(RecipeError, match="labels names 2 classes"):
        compose_recipe(start(), ["labels=[a,b]", "head.num_classes=7"])
    swapped = compose_recipe(named, ["head=fcn"])
    assert swapped.labels == named.labels


def test_ways_to_resize_replace_each_other():
    recipe = compose_recipe(start(), ["processing.size=[32,64]"])
    assert recipe.processing["size"] == (32, 64)
    assert "shortest_edge" not in recipe.processing
    assert "size" not in compose_recipe(recipe, ["processing.shortest_edge=50"]).processing


def test_leaving_out_is_the_default_again():
    recipe = compose_recipe(start(), ["~head.dropout", "~neck", "~backbone.pretrained"])
    assert recipe.head is not None
    assert recipe.head.options["dropout"] == 0.1
    assert recipe.neck == ()
    assert recipe.backbone.pretrained is False
    with pytest.raises(RecipeError, match="a recipe without a backbone"):
        compose_recipe(start(), ["~backbone"])
    with pytest.raises(RecipeError, match=r"there is no head\.nothing"):
        compose_recipe(start(), ["~head.nothing"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbone=resnt50", "did you mean 'resnet50'"),
        ("backbone=null", "backbone is missing"),
        ("backbone=[a]", "must be a mapping"),
        ("backbone=3", "must be a mapping"),
        ("neck=fnp", "there is no neck of that name; did you mean 'fpn'"),
        ("neck=[fnp]", "there is no neck of that name|no neck named 'fnp'"),
        ("head=maskformers", "did you mean 'maskformer'"),
        ("head=../../x", "there is no head of that name"),
        ("head.criterion=mask", "no criterion"),
        ("head.nothing=1", "maskformer has no such option"),
        ("nothing=1", "nothing is unknown"),
        ("nothing.deep.down=1", "nothing is unknown"),
    ],
)
def test_swaps_that_are_none(override, message):
    with pytest.raises(RecipeError, match=message):
        compose_recipe(start(), [override])


def test_statistics_in_the_images_own_units_stay_with_another_backbone():
    own = {"range": [0, 10_000], "mean": [2734.0] * 3, "std": [1500.0] * 3}
    swapped = compose_recipe(start(processing=own), ["backbone=swin_tiny"]).processing
    assert {key: list(swapped[key]) for key in own} == own


@pytest.mark.parametrize("is_first", [True, False])
def test_mean_and_deviation_given_with_other_channels_stay_in_any_order(is_first):
    statistics = ["processing.mean=[1,2,3,4,5,6]", "processing.std=[1,1,1,1,1,1]", "processing.range=[0,9]"]
    channels = ["backbone.in_channels=6"]
    recipe = compose_recipe("unet_digits", channels + statistics if is_first else statistics + channels)
    assert recipe.processing["mean"] == (1, 2, 3, 4, 5, 6)
    assert not [note for note in recipe.notes if "dropped" in note]
    dropped = compose_recipe("unet_digits", channels)
    assert "mean" not in dropped.processing
    assert "processing.mean and processing.std dropped: not of 6 channels." in dropped.notes
