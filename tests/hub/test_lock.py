"""`locked=true`: what is built from a saved recipe is what was saved, or every difference is named."""

import shutil

import pytest
import torch
import yaml
from huggingface_hub import constants

from backbonekit import ResNetBackbone, ResNetConfig
from backbonekit.assembly.build import build_model
from backbonekit.assembly.load import load_model
from backbonekit.cli.verbs import run_verb
from backbonekit.errors import RecipeError, StorageError
from backbonekit.hub import lock
from backbonekit.hub.manifest import KEY
from backbonekit.hub.saved_model import read_recipe
from tests.hf_cache import COMMIT, cache_repository

BACKBONE = {"source": "hf", "name": "owner/tiny", "pretrained": True}
RECIPE = {"backbone": BACKBONE, "head": {"name": "fcn", "num_classes": 2}}
TINY = ResNetConfig(hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1), layer_type="basic")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A cache of the Hub in which owner/tiny is a small checkpoint."""
    folder = tmp_path_factory.mktemp("base")
    ResNetBackbone(TINY).save_pretrained(folder / "tiny")
    cache_repository(folder / "cache", "owner/tiny", folder / "tiny")
    return folder


@pytest.fixture(autouse=True)
def _offline(base, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(base / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def saved(tmp_path):
    build_model(RECIPE, seed=3).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def packed(folder):
    return yaml.safe_load((folder / "recipe.yaml").read_text())[KEY]


def faults(*arguments, **options):
    with pytest.raises(RecipeError) as caught:
        load_model(*arguments, locked=True, **options)
    return list(caught.value.faults)


def test_a_saved_recipe_holds_versions_commits_and_hashes(saved):
    block = packed(saved)
    assert block["torch"] == str(torch.__version__)
    assert set(block["sources"]) == {"backbone"}
    assert block["sources"]["backbone"]["from"] == "owner/tiny"
    assert block["sources"]["backbone"]["commit"] == COMMIT
    assert len(block["sources"]["backbone"]["files"]["model.safetensors"]) == 64
    assert block["random"] == {"head.*": "random, seed 3"}
    assert len(block["recipe"]) == 64


def test_nothing_changed_opens_with_the_same_weights(saved, capsys):
    model = load_model(saved, locked=True)
    assert torch.equal(next(model.parameters()), next(build_model(RECIPE, seed=3).parameters()))
    assert run_verb("build", [f"recipe={saved}", "locked=true"]) == 0


def test_the_base_of_weights_survives_opening_and_saving_again(saved, tmp_path):
    load_model(saved).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "recipe.yaml").read_text() == (saved / "recipe.yaml").read_text()


def test_trained_weights_say_so_and_a_swapped_part_has_no_base(saved, tmp_path):
    model = load_model(saved)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1)
    model.save_pretrained(tmp_path / "trained")
    assert packed(tmp_path / "trained")["sources"]["backbone"]["trained"] is True
    load_model(saved, ["backbone=timm/resnet10t"]).save_pretrained(tmp_path / "swapped")
    assert "sources" not in packed(tmp_path / "swapped")


def test_every_difference_is_named_with_what_it_may_change(saved, monkeypatch, capsys):
    installed = {"backbonekit": "9.0", "torch": "1.0", "timm": "2.0"}
    monkeypatch.setattr(lock, "installed_versions", lambda: installed)
    shutil.copy(saved / "model.safetensors", saved / "model-00001-of-00002.safetensors")
    (saved / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:-4] + b"\0\0\1\1")
    text = (saved / "recipe.yaml").read_text()
    (saved / "recipe.yaml").write_text(text.replace("num_classes: 2", "num_classes: 3"))
    found = faults(saved, ["head.auxiliary=true"])
    assert len(found) == 7
    for word in ("head.auxiliary=true: an override", "backbonekit: recorded", "installed 1.0; kernels may", "timm: "):
        assert any(word in fault for fault in found), word
    assert any("the recipe was changed after it was saved" in fault for fault in found)
    assert any("model.safetensors: its sha256 is" in fault for fault in found)
    assert any("weights that the recipe does not list" in fault for fault in found)
    assert run_verb("build", [f"recipe={saved}", "locked=true", "head.auxiliary=true"]) == 2
    assert "pip install torch==" in capsys.readouterr().err


def test_missing_weights_are_named(saved):
    (saved / "model.safetensors").unlink()
    assert "model.safetensors: missing" in faults(saved)[0]


def test_comments_and_layout_are_no_change_of_the_recipe(saved):
    file = saved / "recipe.yaml"
    file.write_text("# Ours.\n" + file.read_text().replace("adapt: auto", "adapt:   'auto'"))
    load_model(saved, locked=True)


def test_a_recipe_alone_is_made_again_from_its_base_and_its_seed(saved, tmp_path):
    file = shutil.copy(saved / "recipe.yaml", tmp_path / "alone.yaml")
    model = load_model(file, locked=True, seed=3)
    for name, tensor in load_model(saved).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert "The fix: seed=3" in faults(file)[0]


def test_a_recipe_alone_with_another_base_names_it(saved, tmp_path, base, monkeypatch):
    file = shutil.copy(saved / "recipe.yaml", tmp_path / "alone.yaml")
    other = ResNetBackbone(TINY)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained(tmp_path / "other")
    cache_repository(tmp_path / "cache", "owner/tiny", tmp_path / "other")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (found,) = faults(file, seed=3)
    assert "backbone: the sha256 of model.safetensors was" in found


def test_a_recipe_alone_of_trained_weights_is_refused(saved, tmp_path):
    model = load_model(saved)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    model.save_pretrained(tmp_path / "trained")
    file = shutil.copy(tmp_path / "trained" / "recipe.yaml", tmp_path / "alone.yaml")
    found = faults(file, seed=3)
    assert [fault.partition(": its weights were trained")[1] for fault in found] == [": its weights were trained"] * 2


def test_what_has_no_lock_says_so(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("backbone: timm/resnet10t\n")
    with pytest.raises(StorageError, match="has no lock"):
        load_model(file, locked=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=r"has no recipe\.yaml"):
        load_model(tmp_path / "empty", locked=True)
    assert run_verb("build", ["model=unet_digits", "locked=true"]) == 2
    assert "recipe=FOLDER" in capsys.readouterr().err
    assert run_verb("build", [f"recipe={file}", "locked=yes"]) == 2


def test_a_later_schema_version_says_what_to_install(saved):
    text = (saved / "recipe.yaml").read_text().replace("schema_version: 2", "schema_version: 3")
    text = text.replace('backbonekit: "', 'backbonekit: "7.', 1) + "  something_new: 1\n"
    (saved / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"schema_version: given 3.*pip install 'backbonekit>=7\."):
        load_model(saved)


@pytest.mark.parametrize("damage", ["  sources: 3", "  sources: {head: {files: 1}}", "  recipe: short"])
def test_a_malformed_lock_is_refused(saved, damage):
    recipe = (saved / "recipe.yaml").read_text()
    kept = [line for line in recipe.splitlines() if not line.startswith(("  recipe:",))]
    start = next(number for number, line in enumerate(kept) if line == "  sources:")
    end = next(number for number, line in enumerate(kept) if line.startswith(("  random:", "  weights:")))
    del kept[start:end]
    (saved / "recipe.yaml").write_text("\n".join([*kept, damage]) + "\n")
    with pytest.raises(StorageError, match="sha256"):
        read_recipe(saved / "recipe.yaml")
