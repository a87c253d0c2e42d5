"""The repository for models and experiments of one's own: as it is written by `backbonekit new`, and as it is used."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
import torch

from backbonekit import build_model
from backbonekit.cli.new import template
from backbonekit.cli.verbs import run_verb
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.registry import lookup

ROOT = Path(__file__).parent.parent.parent
REPOSITORY = ROOT / "examples" / "experiment_repo"
CONFIGS = REPOSITORY / "configs"
BUILD = ["model=mine", "--config-dir", str(CONFIGS), "--import", "my_project"]


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    """A repository that `new` wrote."""
    folder = tmp_path_factory.mktemp("work") / "birds"
    output = StringIO()
    with redirect_stdout(output):
        assert run_verb("new", [str(folder), "format=json"]) == 0
    told = json.loads(output.getvalue())
    assert (told["folder"], told["package"]) == (str(folder), "birds")
    assert {"README.md", "birds/head.py", "schema/head.json"} <= set(told["files"])
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another working folder, with the repository's package on the path, and what it registers for the test alone."""
    monkeypatch.setattr(lookup, "_REGISTERED", dict(lookup._REGISTERED))
    monkeypatch.syspath_prepend(str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


def test_new_writes_the_example_under_another_name(birds):
    assert template() == REPOSITORY
    written = {str(path.relative_to(birds)) for path in birds.rglob("*") if path.is_file()}
    assert {"birds/head.py", "README.md", ".gitignore", "configs/model/mine.yaml", "schema/recipe.json"} <= written
    for path in written:
        if not path.startswith("schema"):
            text = (REPOSITORY / path.replace("birds", "my_project")).read_text(encoding="utf-8")
            assert (birds / path).read_text(encoding="utf-8") == text.replace("my_project", "birds")
    assert not [path for path in birds.parent.iterdir() if path != birds]


def test_its_files_fit_the_schemas_that_they_name(birds):
    jsonschema = pytest.importorskip("jsonschema", reason="the oracle of JSON Schema")
    files = [path for path in (birds / "configs").rglob("*.yaml") if path.name != "config.yaml"]
    assert len(files) == 4
    for path in files:
        (schema,) = re.findall(r"\$schema=(\S+)", path.read_text())
        validator = jsonschema.Draft202012Validator(json.loads((path.parent / schema).read_text()))
        content = read_yaml_file(path)
        validator.validate(content)
        assert not validator.is_valid({**content, "no_such_key": 1})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one folder"),
        (["a", "b"], "one folder"),
        (["a", "model=x"], "one folder"),
        (["a", "--config-dir", "b"], "one folder"),
        (["class"], "no name of a Python package"),
        (["2birds"], "name=NAME"),
        (["json"], "Python package named 'json'"),
        (["full"], "is not empty"),
    ],
)
def test_what_new_refuses(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert run_verb("new", words) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]


def test_it_builds_from_another_folder(elsewhere, capsys):
    assert run_verb("build", BUILD) == 0
    assert "mixed_levels" in capsys.readouterr().out
    assert run_verb("build", [*BUILD, "head.chanels=3"]) == 2
    assert "did you mean 'channels'" in capsys.readouterr().err
    assert run_verb("build", [*BUILD, "backbone=resnet18", "neck=fpn"]) == 0
    assert list(elsewhere.iterdir()) == []


def test_its_models_are_saved_and_opened(elsewhere, capsys):
    assert run_verb("build", [*BUILD, "save=m"]) == 0
    assert run_verb("inspect", ["m"]) == 0
    assert "name: mixed_levels" in capsys.readouterr().out


def test_several_threads_build_the_same_model(elsewhere):
    import my_project  # noqa: F401

    overrides = [["head.channels=8"], ["head.channels=16"]] * 4
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(lambda given: build_model("mine", given, config_dir=CONFIGS), overrides))
    for model, same in zip(models, [*models[2:], *models[:2]], strict=True):
        assert all(torch.equal(one, two) for one, two in zip(model.parameters(), same.parameters(), strict=True))


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_its_experiment_trains(elsewhere):
    words = ["experiment=digits", *BUILD[1:], "save=runs/digits", "data.train=16", "data.val=8"]
    small = ["trainer.max_epochs=1", "optimisation.batch_size=8", "trainer.num_workers=0", "trainer.accelerator=cpu"]
    assert run_verb("train", [*words, *small]) == 0
    assert (elsewhere / "runs" / "digits" / "scores.json").is_file()


def run_app(folder: Path, elsewhere: Path, *words: str) -> list[str]:
    """Its Hydra application, from another working folder; the lines that it printed, sorted."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(folder / "app.py"), *words, f"hydra.sweep.dir={elsewhere / 'sweep'}"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(line for line in done.stdout.splitlines() if line.startswith("channels"))


def expected(channels: int) -> str:
    model = build_model("mine", [f"head.channels={channels}"], config_dir=CONFIGS)
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"channels {channels}: {count:,} parameters, logits (4, 11, 64, 64)"


SWEEP = ("-m", "model.head.channels=16,32")


def test_a_sweep_in_its_own_hydra_application(birds, elsewhere):
    import my_project  # noqa: F401

    assert run_app(birds, elsewhere, *SWEEP) == [expected(16), expected(32)]


@pytest.mark.slow  # it starts two processes, each of which imports torch
@pytest.mark.skipif(
    find_spec("hydra_plugins") is None or find_spec("hydra_plugins.hydra_joblib_launcher") is None,
    reason="hydra-joblib-launcher is not installed",
)
def test_a_sweep_with_a_launcher(birds, elsewhere):
    import my_project  # noqa: F401

    words = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert run_app(birds, elsewhere, *SWEEP, *words) == [expected(16), expected(32)]
