"""Recipes of schema version 1 open and build as the current ones; old option names are reported with the new name."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import backbonekit as bk
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.schema_versions import RENAMED_IN_2, in_current_schema
from backbonekit.recipe.validate import read_recipe_file, recipe_from_mapping
from backbonekit.registry.table import WIRED, options

FOLDER = Path(__file__).parent / "version_1"
SAVED = sorted(FOLDER.glob("*.yaml"))  # `dump_recipe(compose_recipe(NAME))` of the last release with version 1
NAMES = yaml.safe_load((FOLDER / "option_names.yml").read_text())
RENAMES = [(kind, part, old, new) for (kind, part), names in RENAMED_IN_2.items() for old, new in names.items()]
BACKBONE = {"source": "timm", "name": "resnet18"}


def recipe_with(kind, part, option, value, version):
    given = {"name": part, option: value}
    recipe = {"schema_version": version, "backbone": BACKBONE}
    if kind == "criterion":
        return {**recipe, "head": {"name": "fcn", "num_classes": 2, "criterion": given}}
    if kind == "neck":
        return {**recipe, "neck": given}
    return {**recipe, "head": {**given, "num_classes": 2}}


@pytest.mark.parametrize("file", SAVED, ids=lambda file: file.stem)
def test_saved_recipe_reads_as_the_current_one(file):
    assert yaml.safe_load(file.read_text())["schema_version"] == 1
    read, current = read_recipe_file(file), compose_recipe(file.stem)
    # One of them says which label is ignored, which is the usual one.
    assert read.processing.get("ignore_label", IGNORE_LABEL) == IGNORE_LABEL
    processing = {key: value for key, value in read.processing.items() if key != "ignore_label"}
    assert replace(read, processing=processing) == current
    assert read == compose_recipe(file)


@pytest.mark.parametrize("name", ["dfine_nano", "maskformer_digits"])
def test_saved_recipe_builds_the_same_state_dict(name, tmp_path):
    (tmp_path / "recipe.yaml").write_text((FOLDER / f"{name}.yaml").read_text())
    read, current = bk.build_model(read_recipe_file(tmp_path / "recipe.yaml")), bk.build_model(name)
    shapes = {key: value.shape for key, value in current.state_dict().items()}
    assert {key: value.shape for key, value in read.state_dict().items()} == shapes


@pytest.mark.parametrize(("kind", "part", "old", "new"), RENAMES)
def test_every_renamed_option_is_read(kind, part, old, new):
    value = options(kind, part)[new]["default"]
    recipe = recipe_from_mapping(recipe_with(kind, part, old, value, 1))
    found = recipe.neck[0] if kind == "neck" else recipe.head.criterion if kind == "criterion" else recipe.head
    assert found.options[new] == (tuple(value) if isinstance(found.options[new], tuple) else value)
    assert recipe.schema_version == 2


@pytest.mark.parametrize(("kind", "part", "old", "new"), RENAMES)
def test_an_old_name_in_the_current_version_is_reported_with_the_new_one(kind, part, old, new):
    with pytest.raises(RecipeError, match=rf"\.{old}: {part} has no such option; .* it is named {new}\."):
        recipe_from_mapping(recipe_with(kind, part, old, 1, 2))


def test_an_old_name_on_the_command_line_is_reported_with_the_new_one():
    with pytest.raises(RecipeError, match=r"head\.layers: detr has no such option; .* it is named num_layers"):
        compose_recipe("detr_resnet50", ["head.layers=2"])


def test_every_option_of_version_1_exists_or_is_renamed():
    for kind, parts in NAMES.items():
        for part, old in parts.items():
            renames = RENAMED_IN_2.get((kind, part), {})
            # A criterion's ignored label is read too: it moves to `processing`.
            missing = {renames.get(option, option) for option in old} - set(options(kind, part)) - WIRED
            assert not missing, (kind, part)
            assert set(renames) <= set(old), (kind, part)
    assert {(kind, part) for kind, parts in NAMES.items() for part in parts} >= set(RENAMED_IN_2)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("holder", ["head", "heads"])
def test_the_ignored_label_of_a_criterion_moves_to_processing(version, holder):
    head = {"name": "fcn", "num_classes": 9, "criterion": {"name": "dense_cross_entropy", "ignore_label": 7}}
    tasks = {"head": head} if holder == "head" else {"heads": {"one": {"head": head}, "two": {"head": head}}}
    recipe = recipe_from_mapping({"schema_version": version, "backbone": BACKBONE, **tasks})
    assert recipe.processing["ignore_label"] == 7
    assert all("ignore_label" not in task.head.criterion.options for task in recipe.tasks.values())
    assert recipe_from_mapping(recipe.to_dict()) == recipe


def test_lists_of_necks_tasks_and_default_criteria_are_lifted():
    necks = [{"name": "channel_mapper", "extra_levels": 1}, {"name": "deformable_encoder", "points": 2}, "fpn"]
    head = {"name": "mask2former", "levels": 2, "criterion": {"points": 50}}
    lifted = in_current_schema({"schema_version": 1, "heads": {"seg": {"neck": necks, "head": head}, "b": None}})
    assert lifted["heads"] == {
        "seg": {
            "neck": [
                {"name": "channel_mapper", "num_extra_levels": 1},
                {"name": "deformable_encoder", "num_points": 2},
                "fpn",
            ],
            "head": {"name": "mask2former", "num_levels": 2, "criterion": {"num_points": 50}},
        },
        "b": None,
    }


def test_no_version_means_the_current_one():
    recipe = {"backbone": BACKBONE, "head": {"name": "detr", "num_classes": 2, "num_layers": 1}}
    assert recipe_from_mapping(recipe).head.options["num_layers"] == 1
    with pytest.raises(RecipeError, match="it is named num_layers"):
        recipe_from_mapping({**recipe, "head": {"name": "detr", "num_classes": 2, "layers": 1}})


@pytest.mark.parametrize(
    ("version", "message"),
    [(7, "reads 1 and 2. The fix: upgrade backbonekit"), (0, "The fix: schema_version: 2"), (True, "given true")],
)
def test_an_unknown_version_is_refused(version, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_mapping({"schema_version": version, "backbone": BACKBONE})


def test_both_names_of_an_option_are_refused():
    head = {"name": "detr", "num_classes": 2, "layers": 1, "num_layers": 2}
    with pytest.raises(RecipeError, match=r"head\.layers: .* it is named num_layers"):
        recipe_from_mapping({"schema_version": 1, "backbone": BACKBONE, "head": head})
