"""`weights=` on the command line: a whole model is filled, and a mistake is reported before torch is needed."""

import pytest

import backbonekit as bk
from backbonekit.cli.arguments import parse_arguments
from backbonekit.cli.start import literal_faults
from backbonekit.cli.verbs import run_verb

WORDS = ["backbone=timm/resnet18", "head=fcn", "head.channels=8", "head.num_classes=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("saved") / "model"
    return bk.build_model({}, WORDS, seed=7).save_pretrained(where, max_shard_size="1GB")


def test_a_model_is_filled_and_saved(capsys, folder, tmp_path):
    assert run_verb("build", [*WORDS, f"weights={folder}", f"save={tmp_path / 'again'}"]) == 0
    again = tmp_path / "again"
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    words = [f"recipe={folder}", "head.dropout=0.2", f"weights={folder / 'model.safetensors'}", "format=json"]
    capsys.readouterr()
    assert run_verb("build", words) == 0
    assert '"dropout": 0.2' in capsys.readouterr().out


def test_weights_of_another_model(capsys, folder):
    assert run_verb("build", [*WORDS[:-1], "head.num_classes=4", f"weights={folder}"]) == 2
    message = capsys.readouterr().err
    assert "classifier" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["weights=absent"], "weights=absent: there is no such folder or file. A repository of the Hub"),
        (["weights=hf://me"], "weights='hf://me': it names no repository"),
        (["recipe=hf://datasets/me/x"], "recipe='hf://datasets/me/x': datasets hold no models"),
        (["weights=me/m1", "recipe=model.onnx"], "weights= and an exported file do not go together"),
        (["weights=me/m1"], None),
        (["recipe=hf://me/m1@v1/runs", "weights=hf://me/m2"], None),
    ],
)
def test_what_is_wrong_shows_at_once(words, fault):
    faults = literal_faults(parse_arguments(words, ("recipe", "weights")))
    assert (fault is None and not faults) or any(fault in one for one in faults)


def test_a_pickle(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    (fault,) = literal_faults(parse_arguments([f"weights={tmp_path / 'model.pt'}"], ("weights",)))
    assert "backbonekit convert" in fault
