"""Composing as people try it on a command line: parts alone, short files, and the message for a slip."""

import subprocess
import sys

import pytest

from backbonekit.cli.verbs import run_verb

PARTS = ["backbone=timm/resnet10t", "head=fcn", "head.num_classes=3", "head.channels=8"]


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = run_verb(words[0], list(words[1:]))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_parts_alone_are_a_model(capsys):
    code, out, err = run(capsys, "build", *PARTS)
    assert (code, err) == (0, "")
    assert "resnet10t" in out
    assert "head" in out


def test_parts_alone_are_swept(capsys):
    code, out, _ = run(capsys, "build", "-m", "backbone=timm/resnet10t,timm/resnet18", *PARTS[1:])
    assert code == 0
    assert "backbone=timm/resnet18" in out


def test_a_neck_makes_the_levels_that_a_detector_requires_and_saves_how_many(capsys, tmp_path):
    words = ["backbone=timm/resnet10t", "neck=fpn", "neck.channels=16", "head=fcos", "head.num_classes=7"]
    code, out, _ = run(capsys, "build", *words, f"save={tmp_path / 'm'}")
    assert code == 0
    assert "note: neck fpn: num_extra_levels=2, since head fcos requires coarser levels" in out
    assert "num_extra_levels: 2" in (tmp_path / "m" / "recipe.yaml").read_text()
    code, out, _ = run(capsys, "build", f"recipe={tmp_path / 'm'}")
    assert code == 0
    assert "note: neck" not in out


@pytest.mark.parametrize("start", ["recipe", "model"])
def test_a_file_of_three_lines(capsys, tmp_path, start):
    file = tmp_path / "three.yaml"
    file.write_text("backbone: timm/resnet10t\nneck: fpn\nhead: semantic_fpn\n")
    code, out, _ = run(capsys, "build", f"{start}={file}", "head.num_classes=5", "neck.channels=16")
    assert code == 0
    assert "semantic_fpn" in out
    code, _, err = run(capsys, "build", f"{start}={file}")
    assert code == 2
    assert "head.num_classes is missing" in err


def test_a_file_with_defaults_as_recipe_has_one_fault(capsys, tmp_path):
    (tmp_path / "d.yaml").write_text("defaults: [fcn_resnet50]\n")
    code, _, err = run(capsys, "build", f"recipe={tmp_path / 'd.yaml'}")
    assert code == 2
    assert err.startswith("error: defaults: only YAML files have defaults")
    assert "model=FILE.yaml" in err


def test_timm_in_defaults_raises_a_message_with_the_right_key(capsys, tmp_path):
    (tmp_path / "d.yaml").write_text("defaults: [{backbone: timm/resnet18}]\n")
    assert "`backbone: timm/resnet18` below the defaults" in run(capsys, "build", f"model={tmp_path / 'd.yaml'}")[2]
    (tmp_path / "e.yaml").write_text("defaults: [fcn_resnet50, {override backbone: swin_tiny}]\n")
    assert "write `backbone: NAME` below" in run(capsys, "build", f"model={tmp_path / 'e.yaml'}")[2]


SLIPS = [
    (["model=fcn_resnet50", "num_classes=7"], "did you mean 'head.num_classes'?"),
    (["model=fcn_resnet50", "in_channels=4"], "did you mean 'backbone.in_channels'?"),
    (["model=fcn_resnet50", "lr=1e-4"], "docs/training.md"),
    (["model=fcn_resnet50", "head.in_channels=7"], "which wiring decides. Leave it out."),
    (["model=fcn_resnet50", "labels={0:a,1:b}"], "labels: names in the order of their numbers are a list"),
    (["model=fcn_resnet50", "head=None"], "a recipe without one is written head=null."),
    (["model=fcn_resnet50", "neck=none"], "a recipe without one is written neck=null."),
    (["model=fcn_resnet50", "backbone=None"], "every recipe has a backbone."),
    (["model=fcn_resnet50", "backbone=timm/convnext-tiny"], "Did you mean convnext_tiny?"),
    (["model=fcn_resnet50", "head=my_head"], "--import MODULE"),
    (["model=fcn_resnet50", "head=my_head"], "the entry point head.NAME"),
    (["--model", "fcn_resnet50"], "did you mean 'model=fcn_resnet50'?"),
    (["maskformer_resnet50"], "Did you mean 'model=maskformer_resnet50'?"),
    (["model:fcn_resnet50"], "Did you mean 'model=fcn_resnet50'?"),
    (["model", "=", "x"], "no spaces around the equals sign"),
    (["help"], "--help"),
    (["recipe=maskformer_resnet50"], "a recipe that ships is model=maskformer_resnet50."),
    (["model=rtdetr_resnet50"], "did you mean 'rtdetr_v2_resnet50'?"),
    (["model=mask_former"], "'maskformer_resnet50'"),
    (["model=fcn_resnet50", "device=gpu"], "the first GPU is cuda."),
    (["model=fcn_resnet50", "device=cud"], "use cpu, cuda, cuda:1, mps or xpu."),
    ([], "backbone=NAME with neck=NAME and head=NAME"),
]


@pytest.mark.parametrize(("words", "fix"), SLIPS)
def test_the_message_for_a_slip_names_its_fix(capsys, words, fix):
    code, out, err = run(capsys, "build", *words)
    assert (code, out) == (2, "")
    assert fix in err


def test_slips_are_reported_before_torch_is_imported():
    program = (
        "import sys\n"
        "from backbonekit.cli.verbs import run_verb\n"
        f"codes = {{run_verb('build', words) for words in {[words for words, _ in SLIPS]!r}}}\n"
        "assert codes == {2}, codes\n"
        "assert not {'torch', 'timm'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_mistyped_folder_names_the_one_beside_it(capsys, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    assert "did you mean 'first'?" in run(capsys, "build", "recipe=runs/frist")[2]
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "is a file" in run(capsys, "build", "recipe=model.safetensors")[2]


def test_the_message_for_a_stride_that_timm_does_not_build_lists_those_that_it_does(capsys):
    words = ["backbone=timm/resnet50", "backbone.args.output_stride=4"]
    assert "backbone.args.output_stride=8, 16 or 32" in run(capsys, "build", *words)[2]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["model"], "maskformer_resnet50"),
        (["model"], "Swin-T (Liu et al., 2021"),
        (["swin"], "maskformer_swin_tiny"),
        (["swin"], "swinv2_tiny"),
        (["timm/convnext_att"], "convnext_atto"),
        (["timm *next*atto*"], "convnext_atto"),
        (["timm", "convnext", "atto"], "convnext_atto"),
        (["necks", "ppm"], "a quarter of the map's own"),
        (["necks", "ppm"], "the others pass through."),
    ],
)
def test_names_are_filtered(capsys, words, found):
    code, out, err = run(capsys, "list", *words)
    assert (code, err) == (0, "")
    assert found in " ".join(out.split())
    assert "resnet50" not in out or words == ["model"]


def test_a_filter_without_a_match_is_a_mistake(capsys):
    code, _, err = run(capsys, "list", "swni_tiny")
    assert code == 2
    assert "did you mean 'swin_tiny'?" in err
    assert "backbonekit list timm swni_tiny" in err
