"""What is offered for completion, and that bash, zsh and fish take it as meant."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backbonekit.cli.completion import SCRIPTS
from backbonekit.cli.completion_words import candidates
from backbonekit.cli.verbs import VERBS, run_verb


def offered(*words: str) -> list[str]:
    return [word for word, _ in candidates(words)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "model" / "head").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "mine.yaml").write_text("defaults: [fcn_resnet50]\nhead: {name: fcos}\n")
    (tmp_path / "configs" / "model" / "head" / "my_head.yaml").write_text("name: fcn\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photo.jpg").touch()
    (tmp_path / ".hidden").touch()
    return tmp_path


def test_verbs():
    assert set(VERBS) <= set(offered(""))
    assert offered("bu") == ["build"]
    assert dict(candidates(["bu"]))["build"] == VERBS["build"][1]
    assert offered("no_such_verb", "") == []


@pytest.mark.parametrize(
    ("words", "expected", "foreign"),
    [
        (["build", ""], {"model=", "save=", "head.", "backbone="}, {"split=", "data="}),
        (["train", ""], {"data=", "optimisation.", "experiment="}, {"image="}),
        (["build", "save=x", ""], {"model="}, {"save="}),
        (["build", "model=fcos"], {"model=fcos_resnet50_fpn"}, set()),
        (["build", "backbone=s"], {"backbone=swin_tiny"}, {"backbone=resnet50"}),
        (["build", "model/backbone=s"], {"model/backbone=swin_tiny"}, set()),
        (["build", "backbone=t"], {"backbone=timm/"}, set()),
        (["build", "neck="], {"neck=fpn"}, {"neck=fcos"}),
        (["build", "head.criterion="], {"head.criterion=mask_set"}, set()),
        (["bench", "-m", "backbone=resnet18,sw"], {"backbone=resnet18,swin_tiny"}, set()),
        (["build", "model=fcn_resnet50", "head."], {"head.auxiliary=", "head.num_classes="}, {"head.num_queries="}),
        (["build", "model=fcn_resnet50", "head=fcos", "head."], {"head.num_convolutions="}, {"head.auxiliary="}),
        (["build", "head=fcos", "head."], {"head.num_convolutions="}, {"head.auxiliary="}),
        (["build", "model=multitask_dinov2_small", "heads."], {"heads.depth."}, set()),
        (["build", "model=fcn_resnet50", "processing."], {"processing.size="}, set()),
        (["build", "model=fcn_resnet50", "head.auxiliary="], {"head.auxiliary=true"}, set()),
        (["build", "model=swin", "adapt="], {"adapt=never"}, set()),
        (["train", "experiment=digits_d"], {"experiment=digits_detection"}, set()),
        (["train", "experiment=digits_detection", "optimisation."], {"optimisation.lr="}, set()),
        (["train", "experiment=digits_detection", "optimisation.schedule="], {"optimisation.schedule=poly"}, set()),
        (["train", "data=coco", "data."], {"data.root="}, {"data.farthest="}),
        (["check", "data="], {"data=coco"}, {"data=mosaic"}),
        (["predict", "device="], {"device=cuda"}, set()),
        (["list", ""], {"necks"}, set()),
        (["diff", "fcos_d"], {"fcos_digits"}, set()),
        (["explain", "model=fcn_resnet50", "head.aux"], {"head.auxiliary="}, set()),
        (["schema", "e"], {"experiment"}, set()),
        (["completion", ""], {"zsh"}, set()),
        (["build", "--c"], {"--config-dir", "--cfg"}, {"--help"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_arguments_keys_and_values(words, expected, foreign):
    found = set(offered(*words))
    assert expected <= found
    assert not foreign & found


def test_what_it_is_stands_beside_a_key():
    about = dict(candidates(["build", "head=fcos", "head."]))
    assert about["head.num_convolutions="] == "of each tower."


def test_files_and_folders(folder):
    assert offered("predict", "image=") == ["image=configs/", "image=photo.jpg", "image=photos/"]
    assert offered("predict", "image=configs/m") == ["image=configs/model/"]
    assert offered("inspect", "ph") == ["photo.jpg", "photos/"]
    assert offered("build", "--config-dir", "") == ["configs/", "photos/"]
    assert offered("build", "image=no_such_folder/") == []


def test_names_of_ones_own(folder):
    assert "model=mine" in offered("build", "--config-dir", "configs", "model=m")
    assert "model=mine" not in offered("build", "model=m")
    assert "head=my_head" in offered("build", "--config-dir=configs", "head=m")
    assert "head.num_convolutions=" in offered("build", "--config-dir", "configs", "model=mine", "head.")
    assert "model=configs/model/mine.yaml" in offered("build", "model=configs/model/")


def test_it_needs_no_torch(tmp_path):
    code = (
        "import sys\nfrom backbonekit.cli.completion_words import candidates\n"
        "assert candidates(['build', 'model=fcn_resnet50', 'head.'])\n"
        "assert not {'torch', 'timm', 'numpy', 'PIL'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_shell_is_refused(capsys):
    assert run_verb("completion", ["bsh"]) == 2
    assert "did you mean 'bash'" in capsys.readouterr().err


def test_the_script_as_json(capsys):
    assert run_verb("completion", ["zsh", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": "zsh", "script": SCRIPTS["zsh"]}


@pytest.fixture
def run(folder, monkeypatch):
    """Runs a shell's own words after it has read the script, with `backbonekit` on its path."""
    program = folder / "bin" / "backbonekit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m backbonekit "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    monkeypatch.setenv("HOME", str(folder))

    def run(shell: str, path: str, words: str) -> list[str]:
        script = folder / "script"
        script.write_text(SCRIPTS[shell])
        options = ["-f"] if shell == "zsh" else []
        command = [path, *options, "-c", words.replace("SCRIPT", str(script))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


INSTALLED = {name: shutil.which(name) for name in SCRIPTS}  # before a test has a path of its own


def shell(name: str) -> str:
    path = INSTALLED[name]
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def test_bash(run, folder):
    path = shell("bash")
    (folder / "a photo.jpg").touch()

    def complete(line: str) -> list[str]:
        start = f'source SCRIPT; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; _backbonekit; '
        return run("bash", path, start + 'printf "%s\\n" "${COMPREPLY[@]}"')

    assert complete("backbonekit insp") == ["inspect "]
    # Bash has cut the word at its last =.
    assert complete("backbonekit build model=fcos_d") == ["fcos_digits "]
    assert complete("backbonekit build head=fcos head.num_con") == ["head.num_convolutions="]
    assert complete("backbonekit predict image=pho") == ["photo.jpg ", "photos/"]
    assert complete("backbonekit predict image=a") == ["a\\ photo.jpg "]
    assert "model=" in complete("backbonekit build ")


def test_zsh(run):
    path = shell("zsh")

    def complete(*words: str) -> list[str]:
        # What it hands to the line editor is printed instead: with -S '' no space follows.
        stub = 'compdef() { : }; compadd() { print -r -- "$@" }; source SCRIPT; '
        typed = " ".join(f"'{word}'" for word in words)
        return run("zsh", path, f"{stub}words=({typed}); CURRENT={len(words)}; PREFIX='{words[-1]}'; _backbonekit")

    assert complete("backbonekit", "insp") == ["-l -d finished_shown -- inspect"]
    assert complete("backbonekit", "build", "model=fcos_d") == ["-l -d finished_shown -- model=fcos_digits"]
    assert complete("backbonekit", "build", "head=fcos", "head.num_con") == [
        "-S  -l -d open_shown -- head.num_convolutions="
    ]


def test_fish(run):
    path = shell("fish")

    def complete(line: str) -> list[str]:
        return [found.partition("\t")[0] for found in run("fish", path, f"source SCRIPT; complete -C '{line}'")]

    assert complete("backbonekit insp") == ["inspect"]
    assert complete("backbonekit build model=fcos_d") == ["model=fcos_digits"]
    assert complete("backbonekit build head=fcos head.num_con") == ["head.num_convolutions="]
    assert complete("backbonekit predict image=pho") == ["image=photo.jpg", "image=photos/"]
