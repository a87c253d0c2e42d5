import pytest

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.overrides import parse_overrides


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("model.backbone.out_indices=[1,2,3,4]", ("backbone", "out_indices"), [1, 2, 3, 4]),
        ("backbone.out_indices=[1, 2]", ("backbone", "out_indices"), [1, 2]),
        ("backbone.out_indices=-1", ("backbone", "out_indices"), -1),
        ("model/backbone=swin_tiny", ("backbone",), "swin_tiny"),
        ("backbone=timm/convnext_tiny.fb_in1k", ("backbone",), "timm/convnext_tiny.fb_in1k"),
        ("backbone=microsoft/resnet-50", ("backbone",), "microsoft/resnet-50"),
        ("backbone=./a folder/x", ("backbone",), "./a folder/x"),
        ("backbone.pretrained=true", ("backbone", "pretrained"), True),
        ("head.dropout=1e-3", ("head", "dropout"), 0.001),
        ("neck=null", ("neck",), None),
        ("neck={name: fpn, channels: 3}", ("neck",), {"name": "fpn", "channels": 3}),
        ("labels=[cat,'a, b']", ("labels",), ["cat", "a, b"]),
        ("+head.dropout=0", ("head", "dropout"), 0),
        ("++head.dropout=0", ("head", "dropout"), 0),
        ("backbone.name='a=b'", ("backbone", "name"), "a=b"),
        ("backbone.out_indices='[1,2]'", ("backbone", "out_indices"), "[1,2]"),
    ],
)
def test_grammar(text, path, value):
    (edit,), faults = parse_overrides([text])
    assert faults == []
    assert (edit.path, edit.value) == (path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backbone.out_indices=(1,2)", r"written in square brackets: 'backbone.out_indices=\[1,2\]'"),
        ("backbone.out_indices=[1,", r"put the whole argument in quotes: 'key=\[1, 2\]'"),
        ("2]", "An override is key=value"),
        ("nonsense", "An override is key=value"),
        ("", "An override is key=value"),
        ("backbone.out_indices[0]=3", r"One value of a list is key\.0=value|is no list"),
        ("backbone.name=a=b", "in quotes within quotes"),
        ("backbone.out_indices=1,2", r"a list is written backbone\.out_indices=\[a,b\]; a sweep needs -m"),
        ("backbone.out_indices=range(1,4)", "a sweep needs -m"),
        ("model=fcn_resnet50", "is the first argument, not an override"),
        ("backbone@other=resnet50", "packages"),
        ("a=" + "[" * 5_000, "could not be read|longer than"),
        ("a=" + "[" * 30 + "]" * 30, "nested deeper"),
        ("a=" + "x" * 30_000, "longer than"),
        ("a=" + "9" * 5_000, "could not be read|a is unknown|at most"),
        (7, "is no text of the form key=value"),
    ],
)
def test_mistakes_have_messages(text, message):
    with pytest.raises(RecipeError, match=message):
        compose_recipe("features_swin_tiny", [text])


def test_one_text_is_no_list_of_overrides():
    with pytest.raises(RecipeError, match="must be a list such as"):
        compose_recipe("features_swin_tiny", "neck=fpn")


def test_mistakes_of_grammar_and_of_values_are_reported_together():
    with pytest.raises(RecipeError) as caught:
        compose_recipe("maskformer_resnet50", ["a=(1)", "backbone=resnt50", "head.num_querys=3", "neck.channels=0"])
    assert len(caught.value.faults) == 4


def test_values_beside_each_other_make_one_layer():
    recipe = compose_recipe(
        "maskformer_resnet50", ["head={dropout: 0.5}", "head.num_queries=3", "head={num_layers: 2}"]
    )
    assert recipe.head is not None
    assert [recipe.head.options[key] for key in ("dropout", "num_queries", "num_layers")] == [0.5, 3, 2]
    with pytest.raises(RecipeError, match="neck was set to null beside it"):
        compose_recipe("maskformer_resnet50", ["neck=null", "neck.channels=3"])


def test_one_value_of_a_list():
    recipe = compose_recipe("maskformer_resnet50", ["backbone.config.depths.3=5"])
    assert recipe.backbone.config is not None
    assert recipe.backbone.config["depths"] == [3, 4, 6, 5]
    with pytest.raises(RecipeError, match="the list has 4 values, numbered from 0"):
        compose_recipe("maskformer_resnet50", ["backbone.config.depths.4=5"])
    with pytest.raises(RecipeError, match="is no list; set it as a whole"):
        compose_recipe("maskformer_resnet50", ["backbone.out_indices.0=5", "adapt.0.1=3"])


def test_the_recipe_it_started_from_is_unchanged():
    recipe = compose_recipe("maskformer_resnet50")
    before = recipe.to_dict()
    compose_recipe(recipe, ["backbone.config.depths.3=5", "head.num_queries=3", "neck=null"])
    assert recipe.to_dict() == before
