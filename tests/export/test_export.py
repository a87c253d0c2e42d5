"""Export: the file returns what the model returns and runs without backbonekit; what cannot be exported is refused."""

import subprocess
import sys

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.export.export import export_model
from backbonekit.training.freeze import freeze
from tests.fixed_weights import randomise_weights

RESNET = {"source": "timm", "name": "resnet18", "args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}}
FCN = {"backbone": RESNET, "head": {"name": "fcn", "num_classes": 3}}
SIZE = (64, 96)


def build(recipe):
    return randomise_weights(bk.build_model(recipe)).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its report, and its program with free sizes and a mask."""
    model = build(FCN)
    report = export_model(model, tmp_path_factory.mktemp("export"), size=SIZE, free_size=True, padded=True)
    return model, report, torch.export.load(report.path).module()


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("size", [SIZE, (33, 47), (128, 128)])
def test_the_program_returns_what_the_model_returns(exported, batch, size):
    model, _, program = exported
    pixels = torch.randn(batch, 3, *size)
    mask = torch.ones(batch, *size, dtype=torch.bool)
    with torch.no_grad():
        given = program(pixels, mask)
        expected = model(pixels, mask).predictions
    assert list(given) == ["logits"]
    torch.testing.assert_close(given["logits"], expected.logits, rtol=1e-4, atol=1e-5)


def test_the_report_names_dimensions_of_free_size(exported):
    _, report, _ = exported
    assert report.path.name == "model.pt2"
    assert report.inputs == {
        "pixel_values": ("batch", 3, "height", "width"),
        "pixel_mask": ("batch", "height", "width"),
    }
    assert report.outputs == {"logits": ("batch", 3, "height", "width")}
    assert report.difference < 1e-5


def test_the_program_runs_without_backbonekit(exported):
    model, report, _ = exported
    pixels, mask = torch.full((2, 3, 40, 56), 0.3), torch.ones(2, 40, 56, dtype=torch.bool)
    with torch.no_grad():
        expected = model(pixels, mask).predictions.logits.sum().item()
    code = f"""
import sys, torch
sys.modules["backbonekit"] = sys.modules["timm"] = None  # any import of these fails
program = torch.export.load({str(report.path)!r}).module()
print(program(torch.full((2, 3, 40, 56), 0.3), torch.ones(2, 40, 56, dtype=torch.bool))["logits"].sum().item())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(expected, rel=1e-4)


def test_the_file_contains_the_recipe(exported):
    model, report, _ = exported
    extra = {"recipe.json": ""}
    torch.export.load(report.path, extra_files=extra)
    assert '"resnet18"' in extra["recipe.json"]
    assert len(model.recipe.to_dict()) > 3


def test_a_mask_is_an_input_that_counts(tmp_path):
    model = build({"backbone": RESNET, "head": {"name": "classification", "num_classes": 3}})
    report = export_model(model, tmp_path / "classes.pt2", size=SIZE, padded=True)
    assert report.path == tmp_path / "classes.pt2"
    program = torch.export.load(report.path).module()
    pixels, mask = torch.randn(2, 3, *SIZE), torch.ones(2, *SIZE, dtype=torch.bool)
    mask[1, :, 40:] = False
    with torch.no_grad():
        torch.testing.assert_close(program(pixels, mask)["logits"], model(pixels, mask).predictions.logits)
        assert not torch.equal(program(pixels, mask)["logits"][1], program(pixels, ~mask | mask)["logits"][1])


def test_without_a_head_the_program_returns_the_feature_maps(tmp_path):
    model = build({"backbone": {**RESNET, "out_indices": [2, 4]}})
    report = export_model(model, tmp_path, size=SIZE)
    assert report.outputs == {"feature_map_0": ("batch", 8, 8, 12), "feature_map_1": ("batch", 16, 2, 3)}


def test_with_several_tasks_names_start_with_the_task(tmp_path):
    heads = {
        "seg": {"head": {"name": "fcn", "num_classes": 3}},
        "kind": {"head": {"name": "classification", "num_classes": 2}},
    }
    report = export_model(build({"backbone": RESNET, "heads": heads}), tmp_path, size=SIZE)
    assert report.outputs == {"seg.logits": ("batch", 3, *SIZE), "kind.logits": ("batch", 2)}


def test_exporting_keeps_the_training_mode_of_every_module(tmp_path):
    model = build(FCN)
    freeze(model, stages=2)
    model.train()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    export_model(model, tmp_path, size=SIZE)
    assert [module.training for module in model.modules()] == before


def test_replaces_an_older_file_and_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "model.pt2").write_text("older")
    export_model(build(FCN), tmp_path, size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert (tmp_path / "model.pt2").stat().st_size > 1000


def test_free_sizes_that_the_architecture_cannot_take_are_refused_and_nothing_is_written(tmp_path):
    config = {
        "model_type": "dinov2",
        "num_hidden_layers": 1,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "image_size": 56,
    }
    model = build({"backbone": {"source": "hf", "config": config}, "head": {"name": "fcn", "num_classes": 2}})
    with pytest.raises(ContractError, match="The fix: free_size=False"):
        export_model(model, tmp_path, size=(56, 70), free_size=True)
    assert not list(tmp_path.iterdir())


def test_a_program_that_differs_is_refused(tmp_path, monkeypatch):
    model = build(FCN)

    class Tampered:
        def module(self):
            return lambda pixels: {"logits": model(pixels).predictions.logits * 1.01}

    monkeypatch.setattr(torch.export, "load", lambda _: Tampered())
    with pytest.raises(
        ContractError,
        match=r"logits of the exported program differs from the model's by 1\.0e-02 .* Nothing was written",
    ):
        export_model(model, tmp_path, size=SIZE)
    assert not list(tmp_path.iterdir())


def test_an_untraceable_model_is_refused(tmp_path):
    model = build(FCN)

    class BranchesOnValues(torch.nn.Module):
        def forward(self, maps):
            return maps if maps.sum().item() > 0 else -maps

    model.head.classifier.dropout = BranchesOnValues()
    with pytest.raises(ContractError, match=r"torch\.export cannot trace this model"):
        export_model(model, tmp_path, size=SIZE)
    assert not list(tmp_path.iterdir())


def test_refuses_other_formats_and_paths(tmp_path):
    model = build(FCN)
    with pytest.raises(RecipeError, match="no format 'onxx'"):
        export_model(model, tmp_path, format="onxx")
    with pytest.raises(StorageError, match=r"must end in \.onnx or \.pt2, or be a folder"):
        export_model(model, tmp_path / "model.torch")
    with pytest.raises(RecipeError, match=r"format='onnx' and model\.pt2 are two formats"):
        export_model(model, tmp_path / "model.pt2", format="onnx")
    with pytest.raises(RecipeError, match="task='semantic' says how a prediction is decoded"):
        export_model(model, tmp_path, task="semantic")
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        export_model(model, tmp_path / "taken" / "model.pt2", size=SIZE)
