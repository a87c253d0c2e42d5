"""Everything under configs/: each file composes, says what it is, and repeats no default."""

import re
import shlex
from pathlib import Path

import pytest

from backbonekit.errors import nearest
from backbonekit.recipe.compose import compose_recipe, model_names, part_names
from backbonekit.recipe.config_roots import shipped_root
from backbonekit.recipe.experiment_compose import compose_experiment
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import config_fields, options

FOLDER = shipped_root().folder
FILES = sorted(FOLDER.rglob("*.y*ml"))
EXPERIMENTS = sorted((FOLDER / "experiment").glob("*.y*ml"))
RECIPES = [file for file in FILES if file not in EXPERIMENTS]
PARTS = [(kind, file.stem) for kind in ("backbone", "neck", "head") for file in (FOLDER / "model" / kind).iterdir()]


def identifier(file: Path) -> str:
    return str(file.relative_to(FOLDER))


def test_there_are_recipes():
    assert len(model_names()) >= 6
    assert len(PARTS) >= 17


@pytest.mark.parametrize("name", model_names())
def test_composes_and_survives_being_shared(name):
    recipe = compose_recipe(name)
    assert recipe.notes == ()
    assert recipe_from_mapping(recipe.to_dict()) == recipe


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_part_fits_into_a_recipe(kind, name):
    assert compose_recipe("maskformer_resnet50", [f"{kind}={name}"])


@pytest.mark.parametrize("kind", ["neck", "head"])
def test_every_registered_part_has_a_file(kind):
    assert {name for of, name in PARTS if of == kind} == set(BUILTIN[kind]) == set(part_names(kind))


def header_and_command(file):
    comment = re.match(r"(?:# .*\n)+", file.read_text())
    assert comment, "no header"
    (command,) = re.findall(r"^# try: (.*)$", comment.group(), flags=re.MULTILINE)
    return comment.group(), command


@pytest.mark.parametrize("file", EXPERIMENTS, ids=identifier)
def test_an_experiment_starts_with_what_it_is_and_a_command(file):
    header, command = header_and_command(file)
    assert "# Numbers: " in header or "handwritten" in header
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "backbonekit", "train", f"experiment={file.stem}"]
    assert words[-1].startswith("save=runs/")
    assert compose_experiment(file.stem, words[5:-1])


@pytest.mark.parametrize("file", RECIPES, ids=identifier)
def test_starts_with_what_it_is_and_a_command(file):
    header, command = header_and_command(file)
    assert "https://" in header
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "backbonekit.build"]
    model, *overrides = words[3:]
    assert file.stem in command, nearest(file.stem, words)
    assert compose_recipe(model.removeprefix("model="), overrides)


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_says_only_what_differs_from_the_defaults(file):
    content = read_yaml_file(file)
    config = content.get("config") or {}
    fields = config_fields(config["model_type"]) if config else {}
    assert fields is not None
    # Depths and widths are the architecture: they are written even where they are the family's default.
    written = {"depths", "hidden_sizes", "layer_type", "embed_dim", "num_heads", "hidden_size", "num_attention_heads"}
    assert not [
        key for key, value in config.items() if key not in (*written, "model_type") and fields[key]["default"] == value
    ]
    kind = file.parent.name
    if kind in ("neck", "head"):
        table = options(kind, content["name"])
        assert table is not None
        own = {key: value for key, value in content.items() if key not in ("name", "criterion")}
        assert not [key for key, value in own.items() if table[key].get("default") == value]


@pytest.mark.parametrize("file", sorted((FOLDER / "model" / "backbone").iterdir()), ids=identifier)
def test_backbones_leave_the_choice_of_maps_open(file):
    assert not {"out_indices", "out_features", "out_strides", "pretrained"} & set(read_yaml_file(file))
