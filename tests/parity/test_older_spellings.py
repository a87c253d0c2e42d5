"""Configurations as older releases and other programs write them, against what transformers computes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.cli.convert import main as convert
from backbonekit.errors import WeightsError
from tests.fixed_weights import randomise_weights
from tests.old_checkpoints.model_cases import BY_NAME, MODELS

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
REAL_TIME = [
    ("RTDetrForObjectDetection", "vd"),
    ("RTDetrV2ForObjectDetection", "resnet"),
    ("DFineForObjectDetection", "hgnet"),
]
ON_TIMM = [
    ("DetrForObjectDetection", "logits"),
    ("RTDetrForObjectDetection", "logits"),
    ("RTDetrV2ForObjectDetection", "pred_boxes"),
    ("MaskFormerForInstanceSegmentation", "masks_queries_logits"),
    ("Mask2FormerForUniversalSegmentation", "masks_queries_logits"),
    ("UperNetForSemanticSegmentation", "logits"),
]


def saved(class_name: str, on: str, folder: Path) -> tuple[Any, torch.Tensor]:
    """A small model of transformers with random weights, and an image."""
    torch.manual_seed(0)
    model = randomise_weights(MODELS[class_name, on](transformers)).eval()
    model.save_pretrained(folder)
    return model, torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))


def rewritten(folder: Path, changes: dict[str, Any]) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


def assert_same(model: Any, class_name: str, folder: Path, image: torch.Tensor, output: str) -> None:
    ours = getattr(bk, class_name).from_pretrained(folder)
    with torch.no_grad():
        expected, given = model(image)[output], ours(image)[output]
    assert given.shape == expected.shape
    assert (given - expected).abs().max() < 1e-5 * expected.abs().max()


def outside(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The predictors under their names outside the decoder."""
    decoder = "model.decoder."
    is_inside = {name: name.startswith((f"{decoder}class_embed.", f"{decoder}bbox_embed.")) for name in tensors}
    return {name.removeprefix(decoder) if is_inside[name] else name: one for name, one in tensors.items()}


@pytest.mark.parametrize(("class_name", "on"), REAL_TIME)
def test_predictors_by_their_names_outside_the_decoder(class_name: str, on: str, tmp_path: Path) -> None:
    model, image = saved(class_name, on, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    moved = outside(tensors)
    assert "class_embed.0.weight" in moved
    assert "model.decoder.bbox_embed.0.layers.0.weight" not in moved
    save_file(moved, tmp_path / "model.safetensors")
    assert_same(model, class_name, tmp_path, image, "logits")
    other = {"model.decoder.class_embed.0.weight": moved["class_embed.0.weight"] + 1}
    save_file({**moved, **other}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"class_embed.0.weight.* are one tensor here and differ"):
        bk.load_model(tmp_path)
    del moved["class_embed.2.weight"]
    save_file(moved, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"class_predictors.2.weight"):
        bk.load_model(tmp_path)


@pytest.mark.parametrize(("class_name", "on"), REAL_TIME)
def test_a_pickle_with_every_predictor_twice(class_name: str, on: str, tmp_path: Path, capsys: Any) -> None:
    model, image = saved(class_name, on, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    torch.save({**tensors, **outside(tensors)}, tmp_path / "pytorch_model.bin")  # shared memory, as 4.x writes them
    (tmp_path / "model.safetensors").unlink()
    assert convert([str(tmp_path), str(tmp_path / "converted")]) == 0
    assert "tensors" in capsys.readouterr().out
    assert "model.decoder.class_embed.0.weight" not in load_file(tmp_path / "converted" / "model.safetensors")
    assert_same(model, class_name, tmp_path / "converted", image, "logits")


@pytest.mark.parametrize(("class_name", "output"), ON_TIMM)
def test_a_backbone_of_timm_by_its_name(class_name: str, output: str, tmp_path: Path) -> None:
    model, image = saved(class_name, "timm by configuration", tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    indices = content["backbone_config"]["out_indices"]
    rewritten(
        tmp_path, {**BY_NAME, "backbone_kwargs": {"in_chans": 3, "out_indices": indices}, "backbone_config": None}
    )
    if class_name.startswith("Detr"):
        unwrapped = {
            key.replace("._backbone", ""): one for key, one in load_file(tmp_path / "model.safetensors").items()
        }
        save_file(unwrapped, tmp_path / "model.safetensors")
    assert_same(model, class_name, tmp_path, image, output)
