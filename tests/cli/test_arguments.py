import pytest

from backbonekit.cli.arguments import parse_arguments
from backbonekit.cli.text import printable
from backbonekit.cli.verbs import VERBS, guarded, main
from backbonekit.errors import RecipeError
from backbonekit.version import VERSION

KNOWN = ("recipe", "image", "save", "device", "format", "seed")


def test_a_line_is_split():
    arguments = parse_arguments(
        ["model=m", "backbone.out_indices=[1,2]", "image=a=b,[c].png", "--config-dir", "x", "--import=my.heads"], KNOWN
    )
    assert arguments.model == "m"
    assert arguments.overrides == ["backbone.out_indices=[1,2]"]
    assert arguments.literals == {"image": "a=b,[c].png"}
    assert (arguments.config_dir, arguments.imports) == ("x", ["my.heads"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--confg-dir", "x"], "did you mean '--config-dir'"),
        (["--config-dir"], "needs a value"),
        (["backbone.out_indices=[1,", "2]"], "must be quoted"),
        (["model=a", "model=b"], "given twice"),
        (["model=a", "recipe=b"], "both name the model to start from"),
        (["output=x.png"], "no argument of this command"),
        (["--cfg", "hydra"], "only `--cfg job`"),
    ],
)
def test_mistakes_are_reported(words, said):
    with pytest.raises(RecipeError, match=said):
        parse_arguments(words, KNOWN)


def test_all_mistakes_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_arguments(["--what", "nonsense", "model=a", "model=b"], KNOWN)
    assert len(caught.value.faults) == 3


def test_a_wrong_verb_gets_the_nearest(capsys):
    assert main(["bild"]) == 2
    assert "did you mean 'build'" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "hint"), [("fit", "use `train`"), ("draw", "use `predict`"), ("xyz", "allowed: ")])
def test_a_verb_that_does_not_exist_points_on(capsys, verb, hint):
    assert main([verb]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: no verb {verb!r}; ")
    assert hint in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--version"], ["build", "--version"]])
def test_the_version(capsys, words):
    assert main(words) == 0
    assert capsys.readouterr().out == f"backbonekit {VERSION}\n"


def test_help_has_an_example_for_each_verb_and_the_exit_codes(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  backbonekit {verb} " in out
    for code in ("0", "1", "2", "130"):
        assert f"\n  {code:<5}" in out


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_of_each_verb_has_examples(capsys, verb):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: backbonekit {verb} ")
    assert f"examples:\n  backbonekit {verb}" in out


def test_an_interrupt_is_exit_code_130(capsys):
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b[31mb\nc") == "a\\x1b[31mb\nc"
