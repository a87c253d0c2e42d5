import json

from backbonekit.cli.verbs import run_verb
from backbonekit.registry.builtin import BUILTIN


def test_everything_that_ships_is_listed(capsys):
    assert run_verb("list", ["format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "maskformer_resnet50" in found["models"]
    assert set(BUILTIN["neck"]) <= set(found["necks"])
    assert "timm" not in found


def test_options_are_shown_with_type_default_and_meaning(capsys):
    assert run_verb("list", ["heads"]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.strip().startswith("num_queries"))
    assert "integer 1 to" in line
    assert "100" in line


def test_timm_names_come_on_request(capsys):
    assert run_verb("list", ["timm", "format=json"]) == 0
    assert "resnet50" in json.loads(capsys.readouterr().out)["timm"]


def test_a_wrong_kind_gets_the_nearest(capsys):
    assert run_verb("list", ["haeds"]) == 2
    assert "did you mean 'heads'" in capsys.readouterr().err


def test_a_saved_model_is_inspected_without_being_built(capsys, tmp_path):
    assert run_verb("build", ["model=maskformer_digits", f"save={tmp_path / 'm'}"]) == 0
    capsys.readouterr()
    assert run_verb("inspect", [str(tmp_path / "m"), "format=json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["weights"]) == {"backbone", "neck", "head"}
    assert printed["recipe"]["head"]["num_queries"] == 8
    assert run_verb("inspect", [str(tmp_path / "m")]) == 0
    assert "num_queries: 8" in capsys.readouterr().out


def test_inspect_refuses_what_is_no_model(capsys, tmp_path):
    assert run_verb("inspect", [str(tmp_path)]) == 2
    assert "is no model" in capsys.readouterr().err
    assert run_verb("inspect", []) == 2
