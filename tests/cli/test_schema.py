import json

import pytest

from backbonekit.cli.verbs import run_verb
from backbonekit.recipe.json_schema import FILES


def test_it_prints_the_schema_of_a_recipe_or_of_another_kind(capsys):
    assert run_verb("schema", []) == 0
    assert "head" in json.loads(capsys.readouterr().out)["properties"]
    assert run_verb("schema", ["experiment"]) == 0
    assert "optimisation" in json.loads(capsys.readouterr().out)["properties"]


def test_all_are_written_to_a_folder(tmp_path, capsys):
    folder = tmp_path / "data"  # named like a kind: a value of a flag is none
    folder.mkdir()
    (folder / "mine.yaml").write_text("defaults: [fcn_resnet50]\n")
    words = ["all", f"output={tmp_path / 'schema'}", "--config-dir", str(folder)]
    assert run_verb("schema", words) == 0
    assert {path.stem for path in (tmp_path / "schema").iterdir()} == set(FILES)
    assert '"mine"' in (tmp_path / "schema" / "recipe.json").read_text()
    assert capsys.readouterr().out.count("written to") == len(FILES)


def test_parts_of_ones_own_are_in_it(tmp_path, capsys, monkeypatch):
    from backbonekit.registry import lookup

    monkeypatch.setattr(lookup, "_REGISTERED", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blurring.py").write_text(
        "import backbonekit\n\n\nclass Blur:\n    def __init__(self, features, *, radius: int = 1) -> None: ...\n\n\n"
        'backbonekit.register("neck", "blur", Blur)\nbackbonekit.register("head", "lost", "nowhere:Head")\n'
    )
    assert run_verb("schema", ["--import", "blurring"]) == 1
    printed = capsys.readouterr()
    blur = next(
        part for part in json.loads(printed.out)["$defs"]["neck"]["anyOf"] if "radius" in part.get("properties", {})
    )
    assert blur["properties"]["name"]["const"] == "blur"
    assert "the head 'lost' (nowhere:Head) could not be imported" in printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hed"], "did you mean 'head'"),
        (["all"], "output=schema"),
        (["head", "neck"], "give one, or all"),
        (["model=fcn_resnet50"], "takes a kind of file"),
        (["output="], "output= needs a path"),
    ],
)
def test_what_it_refuses(words, said, capsys):
    assert run_verb("schema", words) == 2
    assert said in capsys.readouterr().err


def test_what_was_written_as_json(tmp_path, capsys):
    path = tmp_path / "neck.json"
    assert run_verb("schema", ["neck", f"output={path}", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": [str(path)]}
