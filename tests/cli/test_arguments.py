import pytest

from backbonekit.cli.arguments import parse_arguments
from backbonekit.cli.verbs import main, printable
from backbonekit.errors import RecipeError

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
        (["--config-dir"], "wants a value"),
        (["backbone.out_indices=[1,", "2]"], "must be quoted"),
        (["model=a", "model=b"], "given twice"),
        (["model=a", "recipe=b"], "both name where to start"),
        (["output=x.png"], "not known to this command"),
        (["--cfg", "hydra"], "only `--cfg job`"),
    ],
)
def test_mistakes_are_sentences(words, said):
    with pytest.raises(RecipeError, match=said):
        parse_arguments(words, KNOWN)


def test_all_mistakes_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_arguments(["--what", "nonsense", "model=a", "model=b"], KNOWN)
    assert len(caught.value.faults) == 3


def test_a_wrong_verb_gets_the_nearest(capsys):
    assert main(["bild"]) == 2
    assert "did you mean 'build'" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b[31mb\nc") == "a\\x1b[31mb\nc"
