"""`build` as a person uses it: what it prints, what it writes, how it refuses."""

import gc
import json
import subprocess
import sys

import pytest

from backbonekit.cli import start
from backbonekit.cli.arguments import parse_arguments
from backbonekit.cli.verbs import run_verb
from backbonekit.errors import RecipeError
from backbonekit.registry import lookup

TINY = ["model=maskformer_digits"]


def build(capsys, *words):
    code = run_verb("build", words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_wiring_is_printed(capsys):
    code, out, _ = build(capsys, *TINY)
    assert code == 0
    for word in ("backbone", "neck.0", "head", "layer3", "mask_features", "parameters", "random, seed 0"):
        assert word in out


def test_json_for_scripts(capsys):
    code, out, _ = build(capsys, *TINY, "format=json")
    printed = json.loads(out)
    assert code == 0
    assert [part["path"] for part in printed["parts"]] == ["backbone", "neck.0", "head"]
    assert printed["parts"][0]["returns"][0]["shape"] == [1, 32, 32, 32]
    assert printed["totals"]["parameters"] == sum(part["parameters"] for part in printed["parts"])
    assert printed["recipe"]["backbone"]["out_indices"] == [0, 1, 2, 3]


def test_nothing_is_written_by_default(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(capsys, *TINY)
    assert list(tmp_path.iterdir()) == []


def test_save_and_build_from_what_was_saved(capsys, tmp_path):
    folder = tmp_path / "m=1,[x]"  # taken word for word, whatever the grammar of overrides makes of it
    code, _, err = build(capsys, *TINY, f"save={folder}")
    assert code == 0, err
    code, out, err = build(capsys, f"recipe={folder}")
    assert code == 0, err
    assert "weights: all random, seed 0" in out
    code, out, _ = build(capsys, f"recipe={folder}", "head.num_queries=5", "format=json")
    sources = {source["part"]: source for source in json.loads(out)["weights"]}
    assert sources["head"]["fresh"] == ["queries.weight"]


def test_the_composed_recipe_is_printed_and_can_be_built(capsys, tmp_path):
    code, out, _ = build(capsys, "model=features_swin_tiny", "--cfg", "job")
    assert code == 0
    (tmp_path / "recipe.yaml").write_text(out)
    code, again, _ = build(capsys, f"recipe={tmp_path / 'recipe.yaml'}", "--cfg", "job")
    assert code == 0
    assert again == out


def test_an_image_goes_through_the_processor(capsys, tmp_path):
    from PIL import Image

    Image.new("L", (30, 20), 128).save(tmp_path / "grey.png")
    code, out, _ = build(capsys, *TINY, f"image={tmp_path / 'grey.png'}", "format=json")
    assert code == 0
    assert json.loads(out)["input_shape"] == [1, 3, 64, 64]


def test_a_sweep_is_a_table_and_a_refusal_is_a_row(capsys):
    code, out, _ = build(capsys, "-m", *TINY, "head.num_layers=1,2", "neck.num_deepest_levels=4,3")
    assert code == 0
    assert len(out.strip().splitlines()) == 2 + 4
    code, out, _ = build(capsys, "-m", *TINY, "neck.num_deepest_levels=4,9", "format=json")
    assert code == 1
    assert ["error" in record for record in json.loads(out)] == [False, True]


def test_a_sweep_over_models(capsys):
    code, out, _ = build(capsys, "-m", "model=maskformer_digits,maskformer_digit")
    assert code == 1
    assert "did you mean 'maskformer_digits'" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to build"),
        (["model=maskformer_resnet5"], "did you mean 'maskformer_resnet50'"),
        (["model=maskformer_digits", "format=xml"], "must be table or json"),
        (["model=maskformer_digits", "seed=-1"], "whole number from 0"),
        (["model=maskformer_digits", "image=missing.png"], "missing.png"),
        (["model=maskformer_digits", "device=gpu"], "device"),
        (["recipe=no_such_folder_here"], "no_such_folder_here"),
        (["model=maskformer_digits", "backbone.out_indices=[9]"], "out of range"),
        (["model=maskformer_digits", "backbone=timm/resnet9999"], "did you mean"),
        (["model=maskformer_digits", "--import", "no_such_module_here"], "no_such_module_here"),
        (["model=maskformer_digits", "-m", "save=x"], "do not go together"),
    ],
)
def test_mistakes_end_with_a_message(capsys, words, said):
    code, out, err = build(capsys, *words)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_all_faults_at_once(capsys):
    _, _, err = build(capsys, "model=maskformer_resnet50", "head.num_clases=3", "neck.chanels=4", "bacbone=x")
    assert "3 faults" in err
    for fix in ("'num_classes'", "'channels'", "'backbone'"):
        assert fix in err


def test_a_mistake_is_reported_before_torch_is_imported():
    program = (
        "import sys\n"
        "from backbonekit.cli.verbs import run_verb\n"
        "code = run_verb('build', ['model=maskformer_resnet50', 'head.num_clases=3'])\n"
        "sys.exit(10 if 'torch' in sys.modules or 'timm' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 2


def test_own_parts_come_from_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", dict(lookup._REGISTERED))  # other tests see what ships
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_parts_of_a_test.py").write_text(
        "import backbonekit as bk\n"
        "from backbonekit.necks.channel_mapper import ChannelMapper\n"
        "bk.register('neck', 'own_mapper', ChannelMapper, override=True)\n"
    )
    words = ["model=features_swin_tiny", "neck=own_mapper", "backbone=timm/resnet10t", "neck.channels=32"]
    code, out, err = build(capsys, "--import", "own_parts_of_a_test", *words)
    assert code == 0, err
    assert "own_mapper" in out


def test_help(capsys):
    code, out, _ = build(capsys, "--help")
    assert code == 0
    assert "--config-dir" in out
    assert "recipe=" in out


def test_the_collector_of_garbage_is_off_while_a_model_is_built_and_on_again_after(monkeypatch):
    """Also after a refusal; and one that the caller had switched off stays off."""
    seen = []
    compose = start.compose_recipe

    def composed(*args, **options):
        seen.append(gc.isenabled())
        return compose(*args, **options)

    monkeypatch.setattr(start, "compose_recipe", composed)
    arguments = parse_arguments(["model=unet_digits"], ())
    assert gc.isenabled()
    start.start_model(arguments, [])
    assert seen == [False]
    assert gc.isenabled()
    with pytest.raises(RecipeError):
        start.start_model(arguments, ["head.nothing=1"])
    assert gc.isenabled()
    gc.disable()
    try:
        start.start_model(arguments, [])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_wiring_is_drawn(capsys, tmp_path):
    for suffix, head in ((".svg", b"<svg"), (".png", b"\x89PNG"), (".mmd", b"flowchart")):
        code, _, err = build(capsys, *TINY, f"diagram={tmp_path / 'deep' / f'model{suffix}'}")
        assert code == 0, err
        assert (tmp_path / "deep" / f"model{suffix}").read_bytes().startswith(head)
    code, _, err = build(capsys, "-m", *TINY, f"diagram={tmp_path / 'model.pdf'}")
    assert code == 2
    assert ".svg, .png, .mmd" in err
    assert "every row would write the same file" in err
