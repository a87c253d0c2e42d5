"""ONNX: the file agrees with the model on every batch, says what it is, and predicts without the model."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.contract.predictions import BoxCandidates, BoxQueries, DenseLogits, MaskQueries
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.export.export import export_model
from backbonekit.export.onnx_model import load_onnx
from tests.fixed_weights import randomise_weights

RESNET = {"source": "timm", "name": "resnet18", "args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}}
PROCESSING = {"shortest_edge": 64, "longest_edge": 96, "size_divisor": 32}
FCN = {"backbone": RESNET, "head": {"name": "fcn"}, "labels": ["a", "b", "c"], "processing": PROCESSING}
DETR = {
    "backbone": {**RESNET, "out_indices": [4]},
    "neck": [
        {"name": "transformer_encoder", "channels": 16, "num_layers": 1, "num_heads": 2, "feedforward_channels": 16},
    ],
    "head": {"name": "detr", "num_queries": 6, "num_layers": 1, "num_heads": 2, "feedforward_channels": 16},
    "labels": {"names": ["cat", "dog"], "category_ids": [17, 18]},
    "processing": {"size": [64, 96]},
}


def build(recipe):
    return randomise_weights(bk.build_model(recipe)).eval()


def fcn_of_several_classes():
    """Its weights are random, and its biases such that an image of noise has every class."""
    model = build(FCN)
    with torch.no_grad():
        logits = model(model.processor(images((50, 70)))["pixel_values"]).predictions.logits
        model.head.classifier.classifier.bias -= logits.mean(dim=(0, 2, 3))
    return model


def images(*sizes):
    numbers = np.random.default_rng(0)
    return [Image.fromarray(numbers.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def fcn(folder):
    model = fcn_of_several_classes()
    return model, export_model(model, folder / "fcn.onnx", size=(64, 96), free_size=True, threshold=0.25)


@pytest.fixture(scope="module")
def masks(folder):
    model = build("maskformer_digits")
    return model, export_model(model, folder / "masks.onnx", padded=True, size=(64, 96))


@pytest.fixture(scope="module")
def digits(folder):
    model = build("fcos_digits")
    return model, export_model(model, folder / "digits.onnx")


def test_the_report_names_shapes(fcn):
    _, report = fcn
    assert report.inputs == {"pixel_values": ("batch", 3, "height", "width")}
    assert report.outputs == {"logits": ("batch", 3, "height", "width")}
    assert report.difference < 1e-5


def test_onnxruntime_alone_runs_the_file(fcn):
    model, report = fcn
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    (given,), (returned,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("pixel_values", ["batch", 3, "height", "width"])
    assert returned.name == "logits"
    pixels = torch.randn(4, 3, 33, 47)
    (logits,) = session.run(None, {"pixel_values": pixels.numpy()})
    with torch.no_grad():
        expected = model(pixels).predictions.logits
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


def test_the_metadata_say_what_the_file_is(fcn):
    model, report = fcn
    (entry,) = onnx.load(report.path).metadata_props
    data = json.loads(entry.value)
    assert entry.key == "backbonekit"
    assert data["processing"]["mean"] == list(model.processor.processing.mean)
    assert data["processing"]["shortest_edge"] == 64
    task = {"prediction": "DenseLogits", "scoring": "softmax", "reading": None}
    assert data["tasks"] == {"": {**task, "labels": ["a", "b", "c"], "ignore_label": 255}}
    assert data["threshold"] == 0.25
    assert data["recipe"] == json.loads(json.dumps(model.recipe.to_dict()))


def test_masks_and_boxes_say_their_threshold(masks, digits):
    assert load_onnx(masks[1].path).metadata.threshold == 0.5
    assert load_onnx(digits[1].path).metadata.threshold == 0.5


def test_images_of_any_size_are_predicted_as_by_the_model(fcn):
    model, report = fcn
    run = load_onnx(report.path)
    assert report.processing == model.processor.processing
    assert run.prediction_kind() is DenseLogits
    given = images((50, 70), (41, 90))
    for found, expected in zip(run.predict(given), model.predict(given, threshold=0.25), strict=True):
        assert (found.segmentation != expected.segmentation).float().mean() < 1e-3
        assert len(found.segmentation.unique()) > 1


def test_a_file_of_one_size_with_a_mask_pads(masks):
    """Its processing fits images into the canvas; the model with the same processing predicts the same."""
    model, report = masks
    run = load_onnx(report.path)
    assert run.prediction_kind() is MaskQueries
    assert report.processing.canvas == report.processing.max_size == (64, 96)
    model.processor = run.processor
    given = images((80, 40), (64, 96))
    for task in ("semantic", "instance", "panoptic"):
        found = run.predict(given, task=task, threshold=0.0, batch_size=2)
        expected = model.predict(given, task=task, threshold=0.0, batch_size=2)
        for one, other in zip(found, expected, strict=True):
            if task == "instance":
                torch.testing.assert_close(one.scores, other.scores, rtol=1e-3, atol=1e-4)
                assert (one.masks != other.masks).float().mean() < 1e-3
            else:
                assert (one.segmentation != other.segmentation).float().mean() < 1e-3


def test_box_candidates_are_predicted_as_by_the_model(digits):
    model, report = digits
    run = load_onnx(report.path)
    assert run.prediction_kind() is BoxCandidates
    assert set(report.outputs) >= {"class_logits_0", "boxes_xyxy_1", "quality_logits_1"}
    (found,), (expected,) = (one.predict(images((70, 60)), threshold=0.05) for one in (run, model))
    assert len(expected.scores) > 5
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-2)
    assert found.labels.equal(expected.labels)


def test_box_queries_and_category_ids(folder):
    model = build(DETR)
    report = export_model(model, folder / "detr.onnx")
    run = load_onnx(report.path)
    assert run.prediction_kind() is BoxQueries
    assert run.task_labels() == run.result_labels() == model.labels
    (found,), (expected,) = (one.predict(images((70, 60)), threshold=0.0) for one in (run, model))
    assert len(expected.scores) == 6
    torch.testing.assert_close(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-2)


def test_several_tasks(folder):
    heads = {
        "seg": {"head": {"name": "fcn", "num_classes": 3}},
        "kind": {"head": {"name": "classification"}, "labels": ["day", "night"]},
    }
    model = build({"backbone": RESNET, "heads": heads, "processing": {"size": [64, 64]}})
    report = export_model(model, folder / "tasks.onnx")
    assert list(report.outputs) == ["seg.logits", "kind.logits"]
    assert load_onnx(report.path).result_labels() == model.result_labels()
    (found,), (expected,) = (one.predict(images((70, 60))) for one in (load_onnx(report.path), model))
    torch.testing.assert_close(found["kind"].scores, expected["kind"].scores)
    assert (found["seg"].segmentation != expected["seg"].segmentation).float().mean() < 1e-3


def test_images_of_two_sizes_in_a_batch_need_a_mask(fcn):
    with pytest.raises(ContractError, match=r"takes no mask.* The fix: batch_size=1, or export the model with padded"):
        load_onnx(fcn[1].path).predict(images((50, 70), (64, 40)), batch_size=2)


def test_half_precision(folder):
    model = build(FCN).half()
    report = export_model(model, folder / "half.onnx", size=(64, 96))
    assert 1e-5 < report.difference < 1e-2
    (result,) = load_onnx(report.path).predict(images((50, 70)))
    assert result.segmentation.shape == (50, 70)


def test_padded_windows(tmp_path):
    """Their attention leaves a layout in which the converter cannot reshape without a copy."""
    swin = {"model_type": "swin", "embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2], "window_size": 7}
    model = build({"backbone": {"source": "hf", "config": swin}, "head": {"name": "fcn", "num_classes": 3}})
    report = export_model(model, tmp_path / "swin.onnx", size=(64, 96))
    assert report.outputs == {"logits": ("batch", 3, 64, 96)}


def test_averages_on_a_grid_are_those_of_every_size(tmp_path):
    """The coarsest map of the traced size has fewer rows than the finest grid, those of the others more."""
    head = {"name": "upernet", "num_classes": 3, "channels": 8, "auxiliary": False}
    model = build({"backbone": RESNET, "head": head, "processing": PROCESSING})
    report = export_model(model, tmp_path / "upernet.onnx", size=(128, 160), free_size=True)
    assert report.inputs == {"pixel_values": ("batch", 3, "height", "width")}
    assert report.difference < 1e-4


def test_a_detector_without_quality(tmp_path):
    head = {"name": "retinanet", "num_classes": 3, "strides": [8, 16, 32], "num_convolutions": 1}
    model = build({"backbone": RESNET, "neck": {"name": "fpn", "channels": 8}, "head": head, "processing": PROCESSING})
    report = export_model(model, tmp_path / "retinanet.onnx", size=(64, 96))
    assert {name.rpartition("_")[0] for name in report.outputs} == {"class_logits", "boxes_xyxy"}
    (found,), (expected,) = (one.predict(images((64, 96)), threshold=0.0) for one in (load_onnx(report.path), model))
    assert len(expected.scores) > 5
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_refused(tmp_path):
    with pytest.raises(ContractError, match=r"no model in bfloat16.* The fix: model\.float\(\)"):
        export_model(build(FCN).bfloat16(), tmp_path / "model.onnx", size=(64, 96))


def test_a_file_of_one_size_resizes_to_it(folder):
    model = fcn_of_several_classes()
    report = export_model(model, folder / "fixed.onnx", size=(64, 96))
    assert report.processing.size == (64, 96)
    assert report.processing.shortest_edge is None
    model.processor = load_onnx(report.path).processor
    (found,), (expected,) = (one.predict(images((50, 70))) for one in (load_onnx(report.path), model))
    assert (found.segmentation != expected.segmentation).float().mean() < 1e-3


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch):
    model = build(FCN)
    monkeypatch.setattr("backbonekit.export.export.OnnxSession", lambda path: lambda pixels: {"logits": pixels})
    with pytest.raises(ContractError, match=r"differs from the model's by \d.* Nothing was written"):
        export_model(model, tmp_path / "model.onnx", size=(64, 96))
    assert not list(tmp_path.iterdir())


def test_an_rcnn_is_refused_with_the_reason(tmp_path):
    model = bk.build_model("faster_rcnn_resnet50_fpn", ["backbone=timm/resnet18", "neck.channels=16"])
    with pytest.raises(ContractError, match=r"a number of regions that depends on the image.* The fix: a detector"):
        export_model(model, tmp_path / "model.onnx", size=(64, 64))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(RecipeError, match=r"onnxscript is missing. The fix: pip install 'backbonekit\[export\]'"):
        export_model(build(FCN), tmp_path / "model.onnx", size=(64, 96))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(StorageError, match=r"ends in \.onnx is expected"):
        load_onnx(tmp_path / "model.pt2")
    with pytest.raises(StorageError, match="does not exist"):
        load_onnx(tmp_path / "model.onnx")
