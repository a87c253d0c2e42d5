import json

import pytest

from backbonekit.assembly.build import build_model
from backbonekit.assembly.describe import describe
from backbonekit.assembly.inference import sample_input
from backbonekit.assembly.sketch import sketch
from backbonekit.cli.verbs import run_verb
from backbonekit.recipe.compose import compose_recipe

SMALL = "model=maskformer_digits"


def printed(capsys, *words):
    code = run_verb(words[0], list(words[1:]))
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "m"
    build_model("maskformer_digits", ["head.num_queries=5"]).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["maskformer_digits", "unet_digits", "fcos_digits"])
def test_a_sketch_has_the_numbers_of_the_model_that_is_built(name):
    model = build_model(name)
    measured, _ = describe(model, *sample_input(model))
    sketched = sketch(compose_recipe(name))
    assert sketched.recipe == model.recipe
    assert sketched.description.input_shape == measured.input_shape
    for drawn, built in zip(sketched.description.parts, measured.parts, strict=True):
        assert (drawn.path, drawn.parameters, drawn.flops) == (built.path, built.parameters, built.flops)
        assert (drawn.receives, drawn.returns) == (built.receives, built.returns)


def test_a_sketch_of_regions_runs_for_real():
    overrides = ["backbone=timm/resnet18", "processing={size: [64, 64]}", "head.num_classes=2"]
    drawn = sketch(compose_recipe("faster_rcnn_resnet50_fpn", overrides)).description
    assert drawn.flops > 0


def test_diff_of_a_recipe_and_overrides_of_it(capsys):
    found = json.loads(printed(capsys, "diff", "maskformer_digits", "head.num_queries=9", "format=json"))
    assert found["keys"] == [{"key": "head.num_queries", "before": 8, "after": 9}]
    assert found["A"]["parameters"] < found["B"]["parameters"]
    assert found["A"]["multiply_adds"] < found["B"]["multiply_adds"]
    assert found["A"]["input_shape"] == found["B"]["input_shape"]
    head = found["B"]["parts"][-1]
    assert head["returns"][0]["channels"] == 9


def test_diff_of_a_saved_folder_a_file_and_a_name(capsys, saved, tmp_path):
    # What wiring decided stands in a saved recipe; it is no difference from one where it is still open.
    found = json.loads(printed(capsys, "diff", str(saved), "maskformer_digits", "format=json"))
    assert [each["key"] for each in found["keys"]] == ["head.num_queries"]
    file = tmp_path / "mine.yaml"
    file.write_text("defaults:\n  - maskformer_digits\nhead: {num_queries: 5}\n")
    assert "the recipes are the same" in printed(capsys, "diff", str(saved), str(file))


def test_diff_shows_wiring_side_by_side(capsys):
    out = printed(capsys, "diff", "maskformer_digits", "unet_digits")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "maskformer" in lines["head"]
    assert "unet" in lines["head"]
    assert "%)" in lines["multiply-adds"]
    assert "head.num_queries" in lines


def test_diff_of_what_cannot_be_wired_compares_the_recipes(capsys):
    assert run_verb("diff", ["maskformer_resnet50", "backbone=timm/vit_tiny_patch16_224", "adapt=never"]) == 0
    captured = capsys.readouterr()
    assert "B cannot be wired" in captured.err
    assert "backbone.name" in captured.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "diff compares two recipes"),
        (["maskformer_digits"], "with what?"),
        (["model=maskformer_digits", "a", "b"], "diff takes the names alone"),
        (["maskformer_digit", "unet_digits"], "did you mean 'maskformer_digits'"),
        (["maskformer_digits", "unet_digits", "format=csv"], "must be table or json"),
    ],
)
def test_diff_refuses(capsys, words, message):
    assert run_verb("diff", words) == 2
    assert message in capsys.readouterr().err


def test_explain_shows_the_whole_chain(capsys):
    out = printed(capsys, "explain", "head.num_queries", SMALL, "head.num_queries=9")
    assert [line.split()[:2] for line in out.splitlines()[-3:]] == [
        ["100", "default"],
        ["8", "file"],
        ["9", "override"],
    ]
    assert "the largest number of masks" in out


def test_explain_names_what_wiring_decided(capsys):
    words = ("explain", "backbone.out_indices", "neck.0.strides", "neck.1.channels", "processing.mean")
    out = printed(
        capsys, *words, "model=maskformer_resnet50", "backbone=timm/vit_tiny_patch16_224.augreg_in21k", "format=json"
    )
    found = {each["key"]: each["chain"] for each in json.loads(out)["values"]}
    assert found["backbone.out_indices"][-1]["by"] == "inference"
    assert "maskformer" in found["backbone.out_indices"][-1]["source"]
    assert found["neck.0.strides"][-1]["source"] == "default of neck simple_feature_pyramid"
    assert found["neck.1.channels"][-1]["source"] == "default of neck fpn_pixel_decoder"
    assert found["processing.mean"][-1]["value"] == [0.5, 0.5, 0.5]
    assert any("simple_feature_pyramid inserted" in note for note in json.loads(out)["notes"])


def test_explain_of_a_section_lists_each_value_with_what_set_it(capsys):
    out = printed(capsys, "explain", "training", "labels", SMALL)
    assert "labels: " in out
    out = printed(capsys, "explain", "head", SMALL)
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows["head.num_queries"].endswith("model/maskformer_digits.yaml (shipped)")
    assert rows["head.activation"].endswith("default of head maskformer")


def test_explain_of_a_saved_folder_names_it(capsys, saved):
    out = printed(capsys, "explain", "head.num_queries", f"recipe={saved}")
    assert str(saved) in out.splitlines()[-1]


def test_explain_of_a_refused_recipe_says_where_the_value_is_from(capsys):
    assert run_verb("explain", ["head.num_queries", SMALL, "head.num_queries=-1"]) == 2
    err = capsys.readouterr().err
    assert "head.num_queries=-1" in err
    assert "must be a whole number" in err


def test_explain_without_wiring_where_it_fails(capsys):
    words = ("explain", "backbone.out_indices", "model=maskformer_resnet50", "backbone=timm/vit_tiny_patch16_224")
    assert run_verb(words[0], [*words[1:], "adapt=never"]) == 0
    captured = capsys.readouterr()
    assert "explained without wiring, since it fails" in captured.err
    assert "auto" in captured.out


def test_explain_refuses_an_unknown_key(capsys):
    assert run_verb("explain", ["head.num_querys", SMALL]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert run_verb("explain", ["head.num_queries"]) == 2
    assert "Give model=NAME" in capsys.readouterr().err


def test_tables_are_as_wide_as_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = printed(capsys, "diff", "maskformer_digits", "unet_digits")
    assert max(map(len, out.splitlines())) <= 60
