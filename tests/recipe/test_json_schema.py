import json

import pytest

from backbonekit.errors import RecipeError
from backbonekit.recipe.backbone_options import KEYS as BACKBONE_KEYS
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.config_roots import shipped_root
from backbonekit.recipe.experiment_compose import compose_experiment, experiment_names
from backbonekit.recipe.experiment_layers import KEYS as EXPERIMENT_KEYS
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.json_schema import FILES as KINDS, OF_SHIPPED_FILES, json_schema, modeline, schema_text
from backbonekit.recipe.requires import KEY as REQUIRES_KEY
from backbonekit.recipe.validate import KEYS, MANIFEST_KEY, TASK_KEYS
from backbonekit.registry.lookup import register

jsonschema = pytest.importorskip("jsonschema", reason="the oracle of JSON Schema")
CONFIGS = shipped_root().folder
FILES = sorted(CONFIGS.rglob("*.yaml"))
KIND_OF_GROUP = {"model": "recipe"}
VALIDATORS = {kind: jsonschema.Draft202012Validator(json_schema(kind, shipped_only=True)[0]) for kind in KINDS}


def kind_of(file):
    return KIND_OF_GROUP.get(file.parent.name, file.parent.name)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_json_schema(kind):
    schema, faults = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(schema_text(schema)) == schema
    assert faults == []


@pytest.mark.parametrize("kind", OF_SHIPPED_FILES)
def test_those_that_ship_are_current(kind):
    text = (CONFIGS / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert text == schema_text(json_schema(kind, shipped_only=True)[0]), "write them again: make table"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_a_shipped_file_names_its_schema_and_fits(file):
    up = "../" * len(file.relative_to(CONFIGS).parent.parts)
    lines = file.read_text(encoding="utf-8").splitlines()
    header = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert header[-1] == modeline(f"{up}schema/{kind_of(file)}.json")
    VALIDATORS[kind_of(file)].validate(read_yaml_file(file))


@pytest.mark.parametrize("name", model_names())
def test_flat_recipes_fit(name):
    VALIDATORS["recipe"].validate(compose_recipe(name).to_dict())


def test_flat_experiments_fit():
    data = ["data=digits"]
    for name in experiment_names():
        given = json.loads(json.dumps(compose_experiment(name, data).to_dict()))
        VALIDATORS["experiment"].validate(given)


def test_every_key_is_in_it():
    recipe = json_schema("recipe", shipped_only=True)[0]
    assert set(recipe["properties"]) == {*KEYS, MANIFEST_KEY, REQUIRES_KEY, "defaults"}
    assert set(recipe["properties"]["heads"]["additionalProperties"]["properties"]) == set(TASK_KEYS)
    assert set(recipe["$defs"]["backbone"]["properties"]) == set(BACKBONE_KEYS)
    experiment = json_schema("experiment", shipped_only=True)[0]
    assert set(experiment["properties"]) == {*EXPERIMENT_KEYS, "defaults"}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("recipe", {"hed": {}}),
        ("recipe", {"head": {"num_querys": 1}}),
        ("recipe", {"head": {"name": "fcn", "num_queries": 1}}),
        ("recipe", {"head": {"name": "fcn", "dropout": 2}}),
        ("recipe", {"head": {"name": "fcn", "num_classes": "auto"}}),
        ("recipe", {"head": "fnc"}),
        ("recipe", {"backbone": {"out_indicies": [1]}}),
        ("recipe", {"backbone": {"config": {"model_type": "resnet", "depth": [1]}}}),
        ("recipe", {"neck": [{"name": "fnp"}]}),
        ("recipe", {"processing": {"size": 224}}),
        ("experiment", {"model": {"head": {"num_querys": 1}}}),
        ("experiment", {"data": {"name": "cocoo"}}),
        ("experiment", {"augmentation": [{"name": "mosaic", "x": 1}]}),
        ("experiment", {"optimisation": {"learning_rate": 1}}),
        ("experiment", {"lr": 1}),
        ("head", {"name": "fcn", "chanels": 1}),
        ("neck", {"neck": {"name": "fpn"}}),
    ],
)
def test_mistakes_are_marked(kind, wrong):
    assert not VALIDATORS[kind].is_valid(wrong)


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("recipe", {"head": {"channels": "${neck.channels}"}, "neck": "fpn"}),
        ("recipe", {"backbone": "timm/resnet50", "head": "fcn", "neck": ["fpn", {"name": "ppm"}]}),
        ("recipe", {"defaults": ["fcn_resnet50", {"override backbone": "mine"}, "_self_"], "head": {"num_classes": 3}}),
        ("experiment", {"defaults": [{"/model": "mine"}, "_self_"], "model": {"head": {"num_classes": "auto"}}}),
        ("experiment", {"model": "fcn_resnet50", "data": "coco", "augmentation": "paper"}),
        ("data", {"name": "coco", "root": "photos"}),
    ],
)
def test_what_may_be_written_is_no_mistake(kind, right):
    VALIDATORS[kind].validate(right)


class Blur:
    """A neck for the test. `radius`: larger is smoother."""

    def __init__(self, features, *, radius: int = 1) -> None: ...


@pytest.fixture
def registered(monkeypatch):
    from backbonekit.registry import lookup

    monkeypatch.setattr(lookup, "_REGISTERED", {})
    return register


def test_registered_parts_and_a_folders_names_are_offered(registered, tmp_path):
    registered("neck", "blur", Blur)
    (tmp_path / "model" / "head").mkdir(parents=True)
    (tmp_path / "model" / "head" / "my_head.yaml").write_text("name: fcn\n")
    schema, faults = json_schema("recipe", config_dir=tmp_path)
    assert faults == []
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"neck": {"name": "blur", "radius": 2}, "head": "my_head"})
    assert not validator.is_valid({"neck": {"name": "blur", "radios": 2}})
    assert not VALIDATORS["recipe"].is_valid({"neck": {"name": "blur", "radius": 2}})
    with pytest.raises(RecipeError, match="no folder"):
        json_schema("recipe", config_dir=tmp_path / "nothing")


def test_a_part_that_cannot_be_imported_takes_any_option_and_is_named(registered):
    registered("neck", "lost", "no_such_module:Neck")
    schema, faults = json_schema("recipe")
    assert len(faults) == 1
    assert "the neck 'lost' (no_such_module:Neck) could not be imported" in faults[0]
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"neck": {"name": "lost", "anything": 1}})
    assert not validator.is_valid({"neck": {"name": "fpn", "anything": 1}})
