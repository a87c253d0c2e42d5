"""What transformers has no model for is refused before anything is written, with every reason."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, StorageError
from backbonekit.hub.transformers_form import transformers_form
from tests.parity.small_composed import CONVNEXT, DINOV2, MODELS, PVT, RESNET, SWIN, hf, model, timm, upernet


def form_of(recipe):
    return transformers_form(bk.build_model(recipe, device="meta").recipe)


@pytest.mark.parametrize(
    ("recipe", "reasons"),
    [
        (model(hf(RESNET), None, {"name": "fcn", "num_classes": 3}), ["no model with the head fcn", "detr"]),
        (model(hf(RESNET), None, None), ["without a head", "AutoBackbone"]),
        (
            {
                "backbone": hf(RESNET),
                "heads": {
                    name: {"head": {"name": "fcn", "num_classes": 3}, "neck": None, "loss_weight": 1.0} for name in "ab"
                },
            },
            ["several tasks (a, b)"],
        ),
        (upernet(hf(DINOV2)), ["neck: transformers' UPerNet has none, and this model simple_feature_pyramid"]),
        (upernet(hf(RESNET), auxiliary_level_index=1), ["head.auxiliary_level_index=1: transformers has 2 there"]),
        (
            upernet(hf(DINOV2, out_indices=[1, 2]), num_deepest_levels=2, auxiliary=False),
            ["transformers builds every stage up to 4", "The fix: out_indices that end with 4"],
        ),
        (
            model(hf({**PVT, "layer_norm_eps": 1e-6}), None, {"name": "segformer", "num_classes": 5}),
            ["pvt_v2 with layer_norm_eps=1e-05, and this backbone has 1e-06"],
        ),
        (
            model(hf(RESNET), None, {"name": "segformer", "num_classes": 5}),
            ["a pvt_v2 with model_type=pvt_v2, and this backbone has resnet"],
        ),
        (
            {**MODELS["upernet on timm"], "backbone": timm("convnext_atto", args={"ls_init_value": 0.1})},
            ["backbone.args.ls_init_value=0.1: transformers builds an architecture of timm with output_stride"],
        ),
        (
            {**MODELS["classification"], "backbone": timm("mobilenetv3_small_050")},
            ["classifiers on timm's MobileNetV3 are not written: it does more between the last map"],
        ),
        (
            {**MODELS["classification"], "backbone": hf(SWIN)},
            ["backbone: transformers' classifiers are written of convnext,", "is swin of source hf"],
        ),
        (
            {**MODELS["classification on dinov2"], "head": {"name": "classification", "num_classes": 4}},
            ["head.pool='average': transformers has 'class_token_and_average' there"],
        ),
        (
            {**MODELS["classification on convnext"], "backbone": hf(CONVNEXT)},
            ["backbone.args.norm=per_stage: ConvNextForImageClassification normalises the last map as norm=none"],
        ),
        (
            {**MODELS["detr"], "neck": {**MODELS["detr"]["neck"], "activation": "gelu"}},
            ["neck.activation='gelu': transformers has 'relu' there, and no field for it"],
        ),
        (
            {**MODELS["rt_detr"], "head": {**MODELS["rt_detr"]["head"], "num_layers": 1}},
            ["head.num_layers=1: transformers does not build a decoder with one predictor"],
        ),
        (
            {**MODELS["depth_anything metric"], "head": {**MODELS["depth_anything metric"]["head"], "max_depth": 2.5}},
            ["head.max_depth=2.5: transformers has 1"],
        ),
    ],
)
def test_the_reasons(recipe, reasons):
    with pytest.raises(ContractError) as caught:
        form_of(recipe)
    for reason in (*reasons, "save_pretrained(folder)"):
        assert reason in str(caught.value)


def test_an_argument_for_training_of_a_backbone_of_timm_is_noted():
    form = form_of(upernet(timm("convnext_atto", args={"drop_path_rate": 0.1}), auxiliary=False))
    assert "backbone.args.drop_path_rate=0.1: transformers builds the backbone without it." in form.notes


def test_what_changes_no_prediction_is_noted_and_stands_in_the_card(tmp_path: Path):
    recipe = upernet(hf(RESNET), dropout=0.25)
    form = form_of(recipe)
    assert form.architecture == "UperNetForSemanticSegmentation"
    assert any(note.startswith("head.dropout=0.25: transformers has 0.0") for note in form.notes)
    bk.build_model(recipe).save_pretrained(tmp_path, format="transformers")
    card = (tmp_path / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "## Not in config.json\n\n- head.dropout=0.25" in card
    assert 'UperNetForSemanticSegmentation.from_pretrained("PATH_OR_HUB_ID")' in card


def test_a_folder_of_another_model_is_kept_unless_overwritten(tmp_path: Path):
    built = bk.build_model(upernet(hf(RESNET)))
    built.save_pretrained(tmp_path)
    with pytest.raises(StorageError, match=r"recipe\.yaml"):
        built.save_pretrained(tmp_path, format="transformers")
    built.save_pretrained(tmp_path, format="transformers", overwrite=True)
    assert not (tmp_path / "recipe.yaml").exists()
    before = (tmp_path / "model.safetensors").read_bytes()
    with torch.no_grad():
        built.head.classifier.bias.add_(1)
    built.save_pretrained(tmp_path, format="transformers")  # the same model, trained on
    assert (tmp_path / "model.safetensors").read_bytes() != before
    other = bk.build_model(upernet(hf(RESNET), num_classes=6))
    with pytest.raises(StorageError, match=r"config\.json"):
        other.save_pretrained(tmp_path, format="transformers")
    other.save_pretrained(tmp_path, overwrite=True)
    assert not (tmp_path / "config.json").exists()
    assert bk.load_model(tmp_path).recipe.head.options["num_classes"] == 6


def test_processing_names_of_classes_and_shards(tmp_path: Path):
    built = bk.build_model({**upernet(hf(RESNET)), "labels": ["a", "b", "c", "d", "e"]})
    built.save_pretrained(tmp_path, format="transformers", max_shard_size="20KB")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"]["4"] == "e"
    assert config["dtype"] == "float32"
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["image_mean"]
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    again = bk.load_model(tmp_path)
    assert again.labels.names == ("a", "b", "c", "d", "e")
    # What the loss ignores stands in config.json, with transformers' default.
    assert replace(again.processor.processing, ignore_label=None) == built.processor.processing


def test_an_unknown_format(tmp_path: Path):
    with pytest.raises(ContractError, match="format='onnx': must be backbonekit or transformers"):
        bk.build_model(upernet(hf(RESNET))).save_pretrained(tmp_path, format="onnx")
