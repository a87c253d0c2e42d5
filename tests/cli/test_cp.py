import pytest

from backbonekit.cli.commented import about, commented
from backbonekit.cli.verbs import run_verb
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.json_schema import modeline, shipped_schema
from backbonekit.recipe.key_docs import KEY_DOCS
from backbonekit.recipe.leaves import leaves
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.table import processing_fields


@pytest.mark.parametrize("name", model_names())
def test_the_text_means_the_recipe_and_comments_every_value(name):
    recipe = compose_recipe(name)
    text = commented(recipe, title=["# A title."])
    assert recipe_from_mapping(read_yaml(text)) == recipe
    assert max(map(len, text.splitlines())) <= 120
    flat = recipe.to_dict()
    for key, _ in leaves(flat):
        # Of arguments of an architecture only the architecture knows what they do.
        if not key.startswith("backbone.args.") and key.rpartition(".")[2] not in ("name", "model_type"):
            comment = about(flat, key)
            assert comment, key
            assert comment[:30] in text


def test_every_field_of_processing_has_a_line_of_its_own():
    assert {key.removeprefix("processing.") for key in KEY_DOCS if "processing." in key} == set(processing_fields())


def test_every_key_of_a_recipe_that_is_no_option_is_described():
    flat = compose_recipe("multitask_dinov2_small").to_dict()
    keys = {key.split(".")[0] for key, _ in leaves(flat)} | {f"backbone.{key}" for key in flat["backbone"]}
    assert keys <= set(KEY_DOCS)


def test_a_copy_builds_the_same_recipe_and_names_the_schema(capsys, tmp_path):
    file = tmp_path / "new" / "mine.yaml"
    assert run_verb("cp", ["maskformer_resnet50", str(file), "head.num_classes=7"]) == 0
    assert str(file) in capsys.readouterr().out
    assert compose_recipe(file) == compose_recipe("maskformer_resnet50", ["head.num_classes=7"])
    text = file.read_text()
    assert modeline(shipped_schema()) in text.splitlines()
    assert text.startswith("# MaskFormer")
    assert "# the largest number of masks. (integer 1 to 10000, default 100)" in text
    assert "head.num_classes=7" in text


def test_a_folder_gets_a_file_of_the_recipes_name(tmp_path):
    assert run_verb("cp", ["unet_digits", str(tmp_path)]) == 0
    assert (tmp_path / "unet_digits.yaml").is_file()


def test_a_swap_is_written_and_what_it_dropped_is_said(capsys, tmp_path):
    assert run_verb("cp", ["maskformer_resnet50", str(tmp_path / "a.yaml"), "backbone=swin_tiny"]) == 0
    assert "note: backbone: microsoft/resnet-50 is replaced" in capsys.readouterr().err
    assert "model_type: swin" in (tmp_path / "a.yaml").read_text()


def test_a_recipe_of_ones_own_is_copied_too(tmp_path):
    source = tmp_path / "own.yaml"
    source.write_text("# Mine.\ndefaults:\n  - unet_digits\n")
    assert run_verb("cp", [str(source), str(tmp_path / "copy.yaml")]) == 0
    assert compose_recipe(tmp_path / "copy.yaml") == compose_recipe("unet_digits")
    assert (tmp_path / "copy.yaml").read_text().startswith("# Mine.")


def test_what_is_there_stays_unless_overwrite_says_so(capsys, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("precious")
    assert run_verb("cp", ["unet_digits", str(file)]) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert file.read_text() == "precious"
    assert run_verb("cp", ["unet_digits", str(file), "overwrite=true"]) == 0
    assert "precious" not in file.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unet_digits"], "cp takes a recipe and a file"),
        (["unet_digit", "a.yaml"], "did you mean 'unet_digits'"),
        (["unet_digits", "a.json"], "did you mean 'a.yaml'"),
        (["model=unet_digits", "a", "b.yaml"], "cp takes the name alone"),
        (["unet_digits", "a.yaml", "head.nothing=1"], "head.nothing"),
    ],
)
def test_cp_refuses(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert run_verb("cp", words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
