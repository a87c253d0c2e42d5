"""A package that is installed for the test alone: its metadata in a folder on the path."""

import sys

import pytest

from backbonekit.errors import RecipeError
from backbonekit.registry.lookup import is_known, names, resolve
from backbonekit.registry.plugins import GROUP, plugin_targets


@pytest.fixture
def install(tmp_path, monkeypatch):
    def install(package: str, **entries: str) -> None:
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('__', '.')} = {target}" for name, target in entries.items()]
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")
        plugin_targets.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    plugin_targets.cache_clear()
    yield install
    plugin_targets.cache_clear()


def test_a_plugin_is_listed_unimported_and_resolved_when_used(install, tmp_path):
    (tmp_path / "plugged_necks.py").write_text("class PluggedNeck: pass\n")
    install("plugged", neck__plugged="plugged_necks:PluggedNeck")
    assert "plugged" in names("neck")
    assert is_known("neck", "plugged")
    assert "plugged_necks" not in sys.modules
    assert resolve("neck", "plugged").__name__ == "PluggedNeck"


def test_a_plugin_cannot_take_a_shipped_name(install):
    install("shadow", head__maskformer="evil:Head")
    with pytest.raises(RecipeError, match="of shadow takes the name of a shipped head"):
        names("head")
    # The shipped part itself cannot be shadowed.
    assert resolve("head", "maskformer").__module__ == "backbonekit.heads.maskformer.head"


def test_two_plugins_of_one_name_are_refused(install):
    install("one", neck__same="one:Neck")
    install("two", neck__same="two:Neck")
    with pytest.raises(RecipeError, match="that another package offers too"):
        resolve("neck", "same")


@pytest.mark.parametrize("entry", ["neck", "wheel__round"])
def test_malformed_entries_are_refused(install, entry):
    install("odd", **{entry: "odd:Part"})
    with pytest.raises(RecipeError, match=r"not of the form kind\.name"):
        names("neck")
