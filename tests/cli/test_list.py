import json
from importlib.metadata import version

import pytest
import timm

from backbonekit.cli.list_numbers import KINDS, known_numbers, names_with_numbers, numbers_of
from backbonekit.cli.listing import header
from backbonekit.cli.published_weights import PUBLISHED
from backbonekit.cli.verbs import run_verb
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.config_roots import shipped_root
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.plugins import GROUP, forget_plugins
from backbonekit.version import VERSION


def listed(capsys, *words):
    assert run_verb("list", [*words, "format=json"]) == 0
    return json.loads(capsys.readouterr().out)


def printed(capsys, *words):
    assert run_verb("list", list(words)) == 0
    return capsys.readouterr().out


def test_everything_that_ships_is_listed(capsys):
    found = listed(capsys)
    assert "maskformer_resnet50" in found["models"]
    assert set(BUILTIN["neck"]) <= set(found["necks"])
    assert "timm" not in found


def test_a_model_has_what_it_is_its_numbers_its_weights_and_its_origin(capsys):
    found = listed(capsys, "models", "maskformer_swin")["models"]["maskformer_swin_tiny"]
    assert found["about"].startswith("MaskFormer")
    assert found["strides"] == [4, 8, 16, 32]
    assert 41e6 < found["parameters"] < 42e6
    assert found["weights"] == ["facebook/maskformer-swin-tiny-ade"]
    assert found["origin"] == f"backbonekit {VERSION}"


def test_a_backbone_names_its_weights(capsys):
    assert listed(capsys, "backbones")["backbones"]["resnet50"]["weights"] == ["microsoft/resnet-50"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_has_numbers(kind):
    if kind == "timm" and known_numbers()["versions"]["timm"] != timm.__version__:
        pytest.skip(f"the numbers are those of timm {known_numbers()['versions']['timm']}")
    known = list(known_numbers()[kind])
    assert known == names_with_numbers(kind), "run `python -m backbonekit.cli.list_numbers`"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("models", name) for name in ("unet_digits", "detr_resnet50", "dfine_nano", "maskformer_dinov2_small")),
        *(("backbones", name) for name in ("swin_tiny", "dinov2_small", "hgnet_v2_b0", "resnet18")),
        *(("timm", name) for name in ("convnext_atto", "resnet18", "vit_tiny_patch16_224", "tf_efficientnet_b0")),
    ],
)
def test_the_numbers_are_those_of_the_models(kind, name):
    assert known_numbers()[kind][name] == numbers_of(kind, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["models", "backbones"])
def test_all_numbers_of_what_ships_are_those_of_the_models(kind):
    assert known_numbers()[kind] == {name: numbers_of(kind, name) for name in names_with_numbers(kind)}


def test_published_weights_are_of_shipped_models_that_such_weights_are_converted_to():
    heads = {target.split(".")[2] for target in BUILTIN["checkpoint"].values()}
    assert set(PUBLISHED) <= set(model_names())
    for name in PUBLISHED:
        head = compose_recipe(name).head
        assert head is not None
        assert head.name in heads


def test_timm_is_filtered_and_sorted_by_size_without_importing_it(capsys):
    found = listed(capsys, "timm/*convnext*", "sort=params")["timm"]
    assert all("convnext" in name for name in found)
    sizes = [entry["parameters"] for entry in found.values()]
    assert sizes == sorted(sizes)
    assert found["convnext_tiny"]["weights"][0].startswith("timm/convnext_tiny.")
    assert found["convnext_tiny"]["origin"] == f"timm {version('timm')}"
    assert set(found) == {name for name in timm.list_models() if "convnext" in name}


def test_with_another_timm_its_own_names_are_listed(capsys, monkeypatch):
    monkeypatch.setitem(known_numbers(), "versions", {"timm": "0"})
    monkeypatch.delitem(known_numbers()["timm"], "resnet18")
    found = listed(capsys, "timm", "resnet18")["timm"]
    assert found["resnet18"]["parameters"] is None
    assert "timm" in printed(capsys, "timm", "resnet18", "sort=params")


def test_parts_show_their_options_with_type_default_and_meaning(capsys):
    line = next(line for line in printed(capsys, "heads").splitlines() if line.strip().startswith("num_queries"))
    assert "integer 1 to" in line
    assert "100" in line


def test_recipes_of_ones_own_are_measured_and_have_their_folder_as_origin(capsys, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# My model.\ndefaults:\n  - unet_digits\n")
    (folder / "broken.yaml").write_text("# Broken.\nbackbone: nothing_of_that_name\n")
    found = listed(capsys, "models", "--config-dir", str(tmp_path))["models"]
    assert found["mine"]["parameters"] == found["unet_digits"]["parameters"]
    assert found["mine"]["about"] == "My model."
    assert found["mine"]["origin"] == str(folder)
    assert found["broken"]["parameters"] is None
    assert str(folder) in printed(capsys, "models", "--config-dir", str(tmp_path))


def test_a_plugin_is_listed_with_its_version_and_a_broken_one_does_not_break_the_rest(capsys, tmp_path, monkeypatch):
    metadata = tmp_path / "plugged-1.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.5\n")
    entries = [f"neck.{name} = {module}:Neck" for name, module in (("good", "listed_neck"), ("bad", "broken_neck"))]
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(entries) + "\n")
    (tmp_path / "listed_neck.py").write_text('class Neck:\n    """A neck of a package."""\n')
    (tmp_path / "broken_neck.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget_plugins()
    try:
        found = listed(capsys, "necks")["necks"]
    finally:
        forget_plugins()
    assert found["good"]["about"] == "A neck of a package."
    assert found["good"]["origin"] == found["bad"]["origin"] == "plugged 1.5"
    assert "could not be imported: ZeroDivisionError" in found["bad"]["about"]
    assert found["fpn"]["origin"] == f"backbonekit {VERSION}"


def test_a_wrong_kind_gets_the_nearest(capsys):
    assert run_verb("list", ["haeds"]) == 2
    assert "did you mean 'heads'" in capsys.readouterr().err
    assert run_verb("list", ["models", "sort=size"]) == 2
    assert "sort=size" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [50, 80, 130])
def test_the_table_is_as_wide_as_the_terminal_and_shows_every_name(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = printed(capsys, "models", "swin")
    assert max(map(len, out.splitlines())) <= columns
    if columns >= 80:
        assert "mask2former_swin" in out
    assert "as in COCO" in out or columns < 80 or "..." in out


def test_without_a_terminal_nothing_is_cut(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "..." not in printed(capsys, "models")


def test_a_header_has_no_command_and_no_modeline():
    file = shipped_root().find("model/maskformer_resnet50")
    assert file is not None
    assert header(file).endswith("as in ADE20k.")
