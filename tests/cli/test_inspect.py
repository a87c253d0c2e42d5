import json

from backbonekit.cli.verbs import run_verb


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
