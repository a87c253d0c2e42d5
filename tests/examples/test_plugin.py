"""The template of a plugin, installed by pip into a folder of its own: every entry point is used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from backbonekit import build_model, load_model
from backbonekit.cli.completion_words import candidates
from backbonekit.cli.verbs import run_verb
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.config_roots import plugin_roots
from backbonekit.recipe.experiment_compose import experiment_names
from backbonekit.recipe.json_schema import json_schema
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import names
from backbonekit.registry.plugins import forget_plugins, plugin_offers

SOURCE = Path(__file__).parent.parent.parent / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that pip has installed the plugin into."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source")  # a build leaves folders behind
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    command = [sys.executable, "-m", "pip", "install", *options, str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    def forget() -> None:
        forget_plugins()
        plugin_roots.cache_clear()
        for name in [name for name in sys.modules if name.split(".")[0] == "stripes"]:
            del sys.modules[name]

    sys.path.insert(0, str(folder))
    forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        forget()


@pytest.fixture
def plugin(installed):
    with on_path(installed):
        yield


def test_its_names_are_known_before_anything_is_imported(plugin):
    assert plugin_offers().faults == ()
    assert plugin_roots()[1] == ()
    for kind, name in (("backbone", "stripes"), ("neck", "smooth"), ("head", "per_pixel"), ("data", "stripes")):
        assert name in names(kind)
    assert "stripes_pico" in model_names()
    assert "stripes_pico" in experiment_names()
    assert ("model=stripes_pico", "") in candidates(["build", "model=str"])
    assert compose_recipe("stripes_pico", ["neck.radius=2"]).requires == {"backbonekit-stripes": "0.1.0"}
    assert "stripes" not in sys.modules


def test_list_says_where_its_names_come_from(plugin, capsys):
    assert run_verb("list", ["stripes", "smooth", "format=json"]) == 2  # every filter has to match
    capsys.readouterr()
    for kind, name in (("necks", "smooth"), ("models", "stripes_pico"), ("experiments", "stripes_pico")):
        assert run_verb("list", [kind, name, "format=json"]) == 0
        assert json.loads(capsys.readouterr().out)[kind][name]["origin"] == "backbonekit-stripes 0.1.0"


def test_its_model_is_built_and_predicts(plugin):
    model = build_model("stripes_pico", ["neck.radius=2"])
    result = model.predict(Image.new("RGB", (40, 32)))[0]
    assert result.segmentation.shape == (32, 40)
    other = build_model({}, ["backbone=stripes/nano", "neck=smooth", "head=fcn", "head.num_classes=3"])
    assert other(torch.zeros(1, 3, 32, 32)).predictions.logits.shape == (1, 3, 32, 32)
    with pytest.raises(RecipeError, match="did you mean 'nano'"):
        build_model({}, ["backbone=stripes/nanoo"])


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_its_experiment_learns(plugin, tmp_path):
    settings = ["trainer.num_workers=0", "trainer.accelerator=cpu", "trainer.max_epochs=3", "optimisation.lr=2e-2"]
    assert run_verb("train", ["experiment=stripes_pico", f"save={tmp_path / 'm'}", *settings]) == 0
    model = load_model(tmp_path / "m")
    images = torch.stack([torch.full((3, 32, 32), -1.0), torch.full((3, 32, 32), 1.0)])
    targets = [{"segmentation": torch.zeros(32, 32, dtype=torch.long)}, {"segmentation": torch.ones(32, 32).long()}]
    untrained = build_model("stripes_pico")(images, targets=targets).loss
    assert model(images, targets=targets).loss < 0.7 * untrained


def test_a_saved_recipe_names_the_package_that_it_requires(plugin, installed, tmp_path):
    build_model("stripes_pico").save_pretrained(tmp_path / "m")
    assert "requires:\n  backbonekit-stripes: 0.1.0\n" in (tmp_path / "m" / "recipe.yaml").read_text()
    assert load_model(tmp_path / "m").recipe.requires == {"backbonekit-stripes": "0.1.0"}
    sys.path.remove(str(installed))
    try:
        forget_plugins()
        with pytest.raises(RecipeError, match=r"requires.backbonekit-stripes: .* which is not installed") as caught:
            load_model(tmp_path / "m")
        assert "pip install 'backbonekit-stripes==0.1.0'" in caught.value.faults[0]
    finally:
        sys.path.insert(0, str(installed))


def test_another_version_is_a_note_and_parts_that_ship_require_nothing(plugin):
    data = compose_recipe("stripes_pico").to_dict()
    recipe = recipe_from_mapping({**data, "requires": {"backbonekit-stripes": "0.0.9"}})
    assert any("was made with 0.0.9, and 0.1.0 is installed" in note for note in recipe.notes)
    assert recipe.requires == {"backbonekit-stripes": "0.1.0"}
    assert "requires" not in compose_recipe("fcn_resnet50").to_dict()


@pytest.mark.parametrize("wrong", [["x"], {"a b": "1"}, {"x": "1; rm -rf"}, {"x": 1.0}, {"--index-url": "1"}])
def test_what_is_no_package_is_refused(wrong):
    with pytest.raises(RecipeError, match="requires"):
        recipe_from_mapping({**compose_recipe("fcn_resnet50").to_dict(), "requires": wrong})


def test_its_options_are_in_the_schema(plugin):
    schema, faults = json_schema("neck")
    assert faults == []
    (smooth,) = [
        part for part in schema["$defs"]["neck"]["anyOf"] if part["properties"]["name"].get("const") == "smooth"
    ]
    assert "a larger one smooths more" in smooth["properties"]["radius"]["description"]


def test_a_recipe_that_takes_a_shipped_name_is_refused_and_named(installed, tmp_path, capsys):
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    models = site / "stripes" / "configs" / "model"
    shutil.copy(models / "stripes_pico.yaml", models / "fcn_resnet50.yaml")
    with on_path(site):
        assert "the recipe 'model/fcn_resnet50' is in backbonekit and in backbonekit-stripes" in plugin_roots()[1][0]
        assert compose_recipe("fcn_resnet50").head.name == "fcn"
        assert compose_recipe("stripes_pico").head.name == "per_pixel"
        assert run_verb("list", ["models"]) == 1
        assert "'model/fcn_resnet50' is in backbonekit and" in capsys.readouterr().err
