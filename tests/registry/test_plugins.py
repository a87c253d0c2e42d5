"""A package that is installed for the test alone: its metadata in a folder on the path."""

import sys

import pytest

from backbonekit.cli.verbs import run_verb
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.registry.lookup import is_known, names, resolve
from backbonekit.registry.plugins import GROUP, forget_plugins, plugin_offers


@pytest.fixture
def install(tmp_path, monkeypatch):
    def install(package: str, **entries: str) -> None:
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('__', '.')} = {target}" for name, target in entries.items()]
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")
        forget_plugins()

    monkeypatch.syspath_prepend(str(tmp_path))
    forget_plugins()
    yield install
    forget_plugins()


def test_a_plugin_is_listed_unimported_and_resolved_when_used(install, tmp_path):
    (tmp_path / "plugged_necks.py").write_text("class PluggedNeck: pass\n")
    install("plugged", neck__plugged="plugged_necks:PluggedNeck")
    assert "plugged" in names("neck")
    assert is_known("neck", "plugged")
    assert "plugged_necks" not in sys.modules
    assert resolve("neck", "plugged").__name__ == "PluggedNeck"


def test_a_plugin_cannot_take_a_shipped_name(install):
    install("shadow", head__maskformer="evil:Head", neck__good="good:Neck")
    (fault,) = plugin_offers().faults
    assert "of shadow takes the name of a shipped head" in fault
    assert "good" in names("neck")
    # The shipped part itself cannot be shadowed.
    assert resolve("head", "maskformer").__module__ == "backbonekit.heads.maskformer.head"


def test_two_plugins_of_one_name_are_refused_and_the_rest_works(install):
    install("one", neck__same="one:Neck", neck__other="one:Other")
    install("two", neck__same="two:Neck")
    assert "of two offers a neck that another package offers too (one)" in plugin_offers().faults[0]
    with pytest.raises(RecipeError, match="that another package offers too"):
        resolve("neck", "same")
    with pytest.raises(RecipeError, match="that another package offers too"):
        compose_recipe("fcn_resnet50", ["neck=same"])
    assert "same" not in names("neck")
    assert "other" in names("neck")
    assert compose_recipe("fcn_resnet50", ["neck=fpn"])


@pytest.mark.parametrize("entry", ["neck", "wheel__round"])
def test_malformed_entries_are_named_and_the_rest_works(install, entry):
    install("odd", **{entry: "odd:Part"})
    assert "is not of the form kind.name" in plugin_offers().faults[0]
    assert "fpn" in names("neck")


def test_list_names_what_is_wrong_with_plugins(install, capsys):
    install("shadow", head__maskformer="evil:Head", neck__good="good:Neck")
    assert run_verb("list", ["necks", "format=json"]) == 1
    printed = capsys.readouterr()
    assert "good" in printed.out
    assert "of shadow takes the name of a shipped head" in printed.err


@pytest.mark.parametrize("code", ["raise RuntimeError('no licence')", "import no_such_library", "Neck = 1 +", "x = 1"])
def test_a_plugin_that_breaks_when_imported_is_named(install, tmp_path, code):
    name = f"breaking_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code + "\n")
    install("breaker", neck__breaks=f"{name}:Neck", neck__fine="fine_neck:Neck")
    with pytest.raises(RecipeError, match=r"the neck 'breaks' of the package breaker 1\.0 .* could not be imported"):
        resolve("neck", "breaks")
    assert is_known("neck", "fine")
    assert resolve("neck", "fpn").__name__ == "FeaturePyramidNetwork"
