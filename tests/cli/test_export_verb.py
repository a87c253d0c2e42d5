"""`backbonekit export` and `predict` on the file that it wrote; every mistake ends in a message."""

import re

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.cli.verbs import main
from backbonekit.image_processing.reading import open_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    bk.build_model("unet_digits").save_pretrained(folder / "saved")
    pixels = np.random.default_rng(0).integers(0, 256, (70, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    return folder


@pytest.fixture(scope="module")
def file(folder):
    assert main(["export", f"recipe={folder}/saved", f"output={folder}/model.onnx"]) == 0
    return folder / "model.onnx"


def test_inputs_outputs_and_difference_are_printed(folder, capsys):
    assert main(["export", f"recipe={folder}/saved", f"output={folder}/decoded.onnx", "decode=true", "size=32,64"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"input +pixel_values +batch x 3 x 32 x 64", shown.out)
    assert re.search(r"output +segmentation +batch x 32 x 64", shown.out)
    assert "on batches of 1, 2 and 3 images" in shown.out
    assert "its processing is not the model's" in shown.err  # 64 x 64 by its recipe
    assert main(["predict", f"recipe={folder}/decoded.onnx", f"image={folder}/noise.png"]) == 2
    assert "export it with decode=False" in capsys.readouterr().err


def test_predict_runs_the_file_and_says_what_the_model_says(folder, file, capsys):
    words = [f"image={folder}/noise.png"]
    assert main(["predict", f"recipe={folder}/saved", *words, f"results={folder}/a/r.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("noise.png: ")
    assert main(["predict", f"recipe={file}", *words, f"results={folder}/b/r.json", f"output={folder}/drawn.png"]) == 0
    assert capsys.readouterr().out == said
    assert (folder / "a" / "r.json").read_text() == (folder / "b" / "r.json").read_text()
    assert open_image(folder / "drawn.png").size == (60, 70)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["head.num_classes=3"], "an exported file is as it was exported"),
        (["device=cuda"], "an exported file runs on cpu"),
        (["seed=1"], "seed= has no meaning for an exported file"),
    ],
)
def test_what_an_exported_file_cannot_do(folder, file, words, message, capsys):
    assert main(["predict", f"recipe={file}", f"image={folder}/noise.png", *words]) == 2
    assert message in capsys.readouterr().err


def test_build_says_that_predict_runs_a_file(file, capsys):
    assert main(["build", f"recipe={file}"]) == 2
    assert "An exported file is run by `predict` alone." in capsys.readouterr().err


def test_all_mistakes_are_listed_at_once(capsys):
    words = ["output=model.onxx", "size=32", "decode=yes", "threshold=2", "device=gpu"]
    assert main(["export", *words]) == 2
    shown = capsys.readouterr().err
    messages = (
        "must end in .onnx or .pt2",
        "size=32: height and",
        "decode=yes",
        "threshold=2",
        "device=gpu",
        "no model",
    )
    for part in messages:
        assert part in shown


def test_a_missing_file_is_named(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    assert main(["predict", f"recipe={tmp_path}/no.onnx", f"image={tmp_path}/i.png"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_file_of_pooled_vectors_returns_those_of_embed(folder, tmp_path, pool, capsys):
    """Of a saved model, whose weights are random: the note says so."""
    vit = {"source": "timm", "name": "test_vit", "args": {"norm": "embedding"}}
    model = bk.build_model({"backbone": vit, "processing": {"size": [64, 96]}})
    model.save_pretrained(tmp_path / "vit")
    assert main(["export", f"recipe={tmp_path}/vit", f"pool={pool}", f"output={tmp_path}/vit.onnx"]) == 0
    captured = capsys.readouterr()
    assert re.search(r"output +features +batch x 64", captured.out)
    assert "all weights are random" in captured.err
    session = onnxruntime.InferenceSession(tmp_path / "vit.onnx", providers=["CPUExecutionProvider"])
    pixels = model.processor([open_image(folder / "noise.png")] * 2)["pixel_values"]
    (vectors,) = session.run(["features"], {"pixel_values": pixels.numpy()})
    expected = model.embed([folder / "noise.png"] * 2, pool=pool)
    torch.testing.assert_close(torch.from_numpy(vectors), expected, rtol=1e-4, atol=1e-5)


def test_pooled_vectors_of_several_levels_and_what_does_not_go_with_them(folder, capsys):
    recipe = f"recipe={folder}/saved"  # U-Net's backbone returns all its levels
    assert main(["export", recipe, "pool=max", f"output={folder}/levels.pt2"]) == 0
    assert "features.layer4" in capsys.readouterr().out
    for words, message in (
        (["pool=none"], "leave pool out"),
        (["pool=cls"], "has no class token"),
        (["pool=mean", "decode=true"], "returns no prediction"),
        (["pool=avg"], "no pooling is called so"),
    ):
        assert main(["export", recipe, *words, f"output={folder}/no.onnx"]) == 2
        assert message in capsys.readouterr().err
    assert not (folder / "no.onnx").exists()
