"""What reaches the terminal: tables within its width, colours, bars, and how little with -q."""

import io
import json
import time

import pytest
from PIL import Image
from small_models import SmallModel

from backbonekit.cli import predict
from backbonekit.cli.messages import note, write_error
from backbonekit.cli.text import table, terminal_width
from backbonekit.cli.verbs import VERBS, main, run_verb
from backbonekit.contract.progress import bar, quiet, waiting
from backbonekit.weights.weight_report import WeightReport, WeightSource

ROWS = [("fpn", "a feature pyramid network with as many levels as the head requires", "12"), ("none", "", "3")]
HEADER = ("name", "what it does", "options")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [20, 40, 60, 100])
def test_a_table_fits_the_width_and_loses_no_word(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = table(HEADER, ROWS, right=(2,)).splitlines()
    assert max(map(len, lines)) <= max(columns, 23)  # six letters, six of words, seven of numbers, and the gaps
    words = " ".join(lines).split()
    assert all(word in words or columns < 40 for word in ROWS[0][1].split())
    assert [line.split()[-1] for line in lines if "fpn" in line or "none" in line] == ["12", "3"]


def test_names_are_broken_only_where_words_do_not_suffice(monkeypatch):
    rows = [("facebook/dinov2-with-registers", "a name and many words about it")]
    monkeypatch.setenv("COLUMNS", "42")
    assert table(("name", "about"), rows).splitlines()[2].startswith("facebook/dinov2-with-registers  a name and")
    monkeypatch.setenv("COLUMNS", "20")
    assert max(map(len, table(("name", "about"), rows).splitlines())) <= 20


def test_a_file_has_no_edge_but_a_cell_may_be_bounded(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width() is None
    assert len(table(HEADER, ROWS, right=(2,)).splitlines()) == 4
    bounded = table(HEADER, [("  fpn", ROWS[0][1], "")], widest=30).splitlines()
    assert len(bounded) == 5
    assert bounded[2].startswith("  fpn  a feature")


def test_colours_are_for_terminals_without_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream, variables, coloured in (
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),  # no-color.org: set and not empty
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", stream)
            for name, value in variables.items():
                patch.setenv(name, value)
            write_error("wrong \x1b[2J")
            note("be aware")
        text = stream.getvalue()
        assert ("\x1b[3" in text) == coloured
        assert "\x1b[2J" not in text
        assert "wrong" in text
        assert "be aware" in text


def test_bars_are_for_terminals_that_were_not_silenced(monkeypatch):
    for stream, is_quiet, shown in (
        (Terminal(), False, True),
        (Terminal(), True, False),
        (io.StringIO(), False, False),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        with quiet(is_quiet), bar(3, unit="images", title="val") as progress:
            progress.update(3)
        assert ("val" in stream.getvalue()) == shown


def test_work_without_steps_is_named_when_it_takes_a_second(monkeypatch):
    monkeypatch.setattr("backbonekit.contract.progress._SOON", 0.02)
    for is_quiet in (False, True):
        stream = Terminal()
        monkeypatch.setattr("sys.stderr", stream)
        with quiet(is_quiet), waiting("opening the model"):
            time.sleep(0.3)
        assert ("opening the model 00:00" in stream.getvalue()) == (not is_quiet)
        assert stream.getvalue().split("\r")[-1].strip() == ""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with waiting("soon done"):
        pass
    assert stream.getvalue() == ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    small = SmallModel("boxes")
    small.weight_report = WeightReport([WeightSource("backbone", "random, seed 0", 100)])
    monkeypatch.setattr(predict, "start_model", lambda *_: small)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 48), "white").save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_leaves_results_and_errors(folder, capsys, monkeypatch, flag):
    (folder / "broken.png").write_text("no")
    words = ["recipe=o/r", f"image={folder}"]
    assert run_verb("predict", words) == 1
    loud = capsys.readouterr()
    assert "note: all weights are random" in loud.err
    for line in (["predict", flag, *words], [flag, "predict", *words]):
        assert main(line) == 1
        silent = capsys.readouterr()
        assert silent.out == loud.out
        assert silent.err.startswith("1 of 3 images could not be used:")
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    main(["predict", flag, *words])
    assert "images/s" not in stream.getvalue()
    main(["predict", *words])
    assert "images/s" in stream.getvalue()


def test_json_is_all_that_predict_prints(folder, capsys):
    (folder / "broken.png").write_text("no")
    assert run_verb("predict", ["recipe=o/r", f"image={folder}", "format=json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert [(image["file_name"], image["summary"]) for image in content["images"]] == [
        ("a.png", "1 bright"),
        ("b.png", "1 bright"),
    ]
    assert [one["image_id"] for one in content["annotations"]] == [1, 2]
    assert len(content["annotations"][0]["bbox"]) == 4
    assert len(content["failed"]) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "broken.png"]


def test_json_has_maps_where_they_are_written(folder, capsys, monkeypatch):
    monkeypatch.setattr(predict, "start_model", lambda *_: SmallModel("dense"))
    line = ["recipe=o/r", f"image={folder / 'a.png'}", "format=json"]
    assert run_verb("predict", line) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["images"][0]["summary"] == "bright 100%"
    assert content["annotations"] == []
    assert run_verb("predict", [*line, f"results={folder}/out/r.json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (folder / "out" / content["annotations"][0]["file_name"]).is_file()
    assert json.loads((folder / "out" / "r.json").read_text())["annotations"] == content["annotations"]


# What `schema` and `completion` print is for a program already: a JSON Schema and a script.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("schema", "completion")])
def test_every_verb_takes_json_and_quiet(verb, capsys):
    assert main([verb, "--help", "-q"]) == 0
    assert "format=" in capsys.readouterr().out
    assert main([verb, "format=xml", "-q"]) == 2
    assert "format=xml: must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["image=x.jpg", "recipe=m"], "the verb comes first: backbonekit predict image=x.jpg."),
        (["trainer.max_epochs=3"], "the verb comes first: backbonekit train trainer.max_epochs=3."),
        (["model=fcn_resnet50"], "the verb comes first: backbonekit build model=fcn_resnet50."),
        (["--config-dir", "x"], "the verb comes first: backbonekit VERB"),
        (["photo.jpg"], "use `predict ... image=photo.jpg`."),
        (["runs"], "use `inspect runs`, or `build recipe=runs`."),
        (["facebook/dinov2-small"], "use `inspect facebook/dinov2-small`"),
        (["detect"], "use `predict`."),
        (["xyzzy"], "`backbonekit --help` explains each."),
    ],
)
def test_a_line_that_begins_without_a_verb_points_on(words, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_text("")
    (tmp_path / "runs").mkdir()
    assert main(words) == 2
    assert hint in capsys.readouterr().err


def test_help_of_a_verb_is_found_both_ways(capsys):
    assert main(["help", "predict"]) == 0
    out = capsys.readouterr().out
    assert main(["predict", "--help"]) == 0
    assert capsys.readouterr().out == out
    assert main(["-q"]) == 0
    assert capsys.readouterr().out.startswith("usage: backbonekit VERB")
