"""Configurations as they are published: words that nobody reads are noted, words that matter are not passed over."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.cli.inspect import main as inspect
from backbonekit.errors import RecipeError, WeightsError
from backbonekit.heads.shared_checkpoint.fields import ModelFields
from backbonekit.heads.shared_checkpoint.nested_backbone import TimmBackboneFields
from backbonekit.hf_models import model_configs
from backbonekit.hub.opening import open_model
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import resolve

RESNET = {"model_type": "resnet", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
CONVNEXT = {"model_type": "convnext", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
DINOV2 = {
    "model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56,
}  # fmt: skip
HIERA = {"model_type": "hiera", "embed_dim": 8, "depths": [1, 1, 1], "num_heads": [1, 1, 2], "image_size": [64, 64]}
HGNET = {
    "model_type": "hgnet_v2", "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 24],
    "stage_mid_channels": [4, 4, 8, 8], "stage_out_channels": [8, 16, 24, 32], "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1], "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32],
}  # fmt: skip
FOUR = [1, 2, 3, 4]
# A backbone's configuration, and words of published files that transformers reads as little.
BACKBONES = {
    "hgnet_v2": (
        HGNET,
        {"layer_type": "basic", "downsample_in_bottleneck": False, "downsample_in_first_stage": False,
         "embeddings_size": 64, "use_lab": True},
    ),
    "hiera": (
        {**HIERA, "masked_unit_attention": [True, False, False], "num_query_pool": 2},
        {"norm_pix_loss": True, "use_separate_position_embedding": False, "decoder_norm": 1},
    ),
    "convnext": (CONVNEXT, {"is_training": False, "intermediate_size": 96, "image_mean": [0.5, 0.5, 0.5]}),
    "dinov2": (DINOV2, {"is_training": False, "intermediate_size": 96, "image_mean": [0.5], "image_std": [0.5]}),
    "resnet": (RESNET, {"Backbone_type": "resnet", "hidden_dropout_prob": 0.1}),
}  # fmt: skip


def folder_of(content: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_with_words_of_others_is_the_one_without_them(name: str, tmp_path: Path) -> None:
    fields, words = BACKBONES[name]
    own = bk.AutoBackbone.from_config(fields)
    own.save_pretrained(tmp_path)
    content = {**json.loads((tmp_path / "config.json").read_text()), **words}
    model = bk.AutoBackbone.from_pretrained(folder_of(content, tmp_path))
    (note,) = model.config.notes
    assert all(f"'{word}'" in note for word in words)
    assert "transformers does not read it either" in note
    assert not own.config.notes
    composed = bk.build_model({"backbone": {"source": "hf", "name": str(tmp_path), "pretrained": True}})
    assert composed.weight_report.notes == [note]
    image = torch.randn(1, 3, 64, 64) if name != "dinov2" else torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        for ours, theirs in zip(own(image).feature_maps, model(image).feature_maps, strict=True):
            assert torch.equal(ours, theirs)


def test_a_whole_model_notes_the_words_of_its_file_and_of_its_backbone(tmp_path: Path, capsys: Any) -> None:
    config = bk.UperNetConfig(backbone_config={**RESNET, "out_indices": FOUR}, hidden_size=16, auxiliary_channels=8,
                              auxiliary_in_channels=24)  # fmt: skip
    model = bk.UperNetForSemanticSegmentation(config)
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    content |= {"Backbone_type": "resnet", "hidden_sise": 7}
    content["backbone_config"]["is_training"] = False
    folder_of(content, tmp_path)
    expected = [
        "config.json: ignored 'Backbone_type', 'hidden_sise' (not 'hidden_size'); transformers does not read it "
        "either.",
        "backbone_config: ignored 'is_training'; transformers does not read it either.",
    ]
    assert [*open_model(tmp_path).notes] == expected
    assert bk.load_model(tmp_path).weight_report.notes == expected
    read = bk.UperNetForSemanticSegmentation.from_pretrained(tmp_path)
    by_class = [expected[0], expected[1].replace("backbone_config", "resnet config")]
    assert read.weight_report.notes == by_class
    assert read.config.notes == (expected[0],)
    assert read.config.hidden_size == 16
    built = bk.UperNetForSemanticSegmentation(read.config)  # from the configuration alone
    assert built.weight_report.notes == by_class
    assert inspect([str(tmp_path)]) == 0
    assert f"note: {expected[0]}\nnote: {expected[1]}" in capsys.readouterr().out
    assert inspect([str(tmp_path), "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == expected
    read.save_pretrained(tmp_path / "again")
    assert not open_model(tmp_path / "again").notes


@pytest.mark.parametrize("model", ["DetrConfig", "MaskFormerConfig", "UperNetConfig", "DPTConfig", "RTDetrConfig"])
def test_a_keyword_that_is_no_field_is_an_error_in_a_constructor_and_a_note_in_a_file(model: str) -> None:
    config_class = getattr(bk, model)
    nested = {**(DINOV2 if model == "DPTConfig" else RESNET), "out_indices": [2, 3, 4] if "RT" in model else FOUR}
    with pytest.raises(RecipeError, match=f"{model} has no field 'num_lables'; did you mean 'num_labels'"):
        config_class(backbone_config=nested, num_lables=3)
    sizes = {"auxiliary_in_channels": 24} if model == "UperNetConfig" else {}
    config = config_class.from_dict({"backbone_config": nested, "num_lables": 3, **sizes})
    assert "'num_lables' (not 'num_labels')" in config.notes[0]
    assert config.num_labels == 2


def test_changes_that_a_person_types_are_checked() -> None:
    with pytest.raises(RecipeError, match="resnet has no field 'hidden_sise'; did you mean 'hidden_sizes'"):
        bk.ResNetConfig.from_dict(RESNET, hidden_sise=[1])
    with pytest.raises(RecipeError, match="ResNetConfig has no field 'is_training'"):
        bk.ResNetConfig(is_training=False)
    with pytest.raises(RecipeError, match="bakcbone is unknown"):
        bk.TimmBackboneConfig.from_dict({"backbone": "resnet18"}, bakcbone="resnet50")


def test_of_timm_and_of_decoder_config() -> None:
    config = bk.TimmBackboneConfig.from_dict({"backbone": "resnet18", "img_size": 3})
    assert config.notes == ("timm_backbone config: ignored 'img_size'; transformers does not read it either.",)
    config = bk.MaskFormerConfig(
        backbone_config={**RESNET, "out_indices": FOUR}, decoder_config={"model_type": "detr", "num_querys": 3}
    )
    (note,) = config.recipe().notes
    assert note.startswith("decoder_config: ignored 'num_querys' (not 'num_queries')")


def test_in_a_recipe_a_copied_config_is_noted_and_a_typed_one_is_refused() -> None:
    copied = {**RESNET, "is_training": False, "architectures": ["ResNetModel"], "stage_names": ["stem"]}
    recipe = recipe_from_mapping({"backbone": {"config": copied}})
    assert recipe.notes == ("backbone.config: ignored 'is_training'; transformers does not read it either.",)
    assert "is_training" not in recipe.backbone.config
    model = bk.build_model({"backbone": {"source": "hf", "config": copied}})
    assert [*recipe.notes] == model.weight_report.notes
    with pytest.raises(RecipeError, match=r"config.is_training: resnet has no such field"):
        recipe_from_mapping({"backbone": {"config": {**RESNET, "is_training": False}}})


def test_registers_of_custom_code_are_refused_by_their_weights(tmp_path: Path) -> None:
    """`num_register_tokens` is no word of a dinov2; the tokens themselves are surplus weights."""
    bk.Dinov2Backbone(bk.Dinov2Config.from_dict(DINOV2)).save_pretrained(tmp_path)
    content = {**json.loads((tmp_path / "config.json").read_text()), "num_register_tokens": 4}
    folder_of(content, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "embeddings.register_tokens": torch.zeros(1, 4, 24)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"register_tokens"):
        bk.AutoBackbone.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"register_tokens"):
        bk.build_model({"backbone": {"source": "hf", "name": str(tmp_path), "pretrained": True}})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**RESNET, "layer_type": "fancy"}, "layer_type"),
        ({"model_type": "swin", "num_attention_heads": [1, 2, 3, 4]}, "read as num_heads by some releases"),
        ({**DINOV2, "hidden_act": "relu"}, "hidden_act='relu' is not supported"),
    ],
)
def test_values_that_transformers_reads_and_that_are_not_supported_stay_refused(fields: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        bk.AutoBackbone.from_config(fields)


def test_numbers_as_names_become_their_text() -> None:
    config = bk.DetrConfig.from_dict({"use_timm_backbone": True, "backbone": "resnet18", "id2label": {"0": 0, "1": 1}})
    assert config.num_labels == 2
    assert config.recipe().labels.names == ("0", "1")


STATED = {
    "input_size": [3, 224, 224], "interpolation": "bilinear", "crop_pct": 0.9, "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.2], "num_classes": 5, "first_conv": "conv1", "classifier": "fc",
}  # fmt: skip


@pytest.mark.parametrize("spelling", ["pretrained_cfg", "flat"])
def test_a_folder_in_the_format_of_timm(spelling: str, tmp_path: Path) -> None:
    reference = timm.create_model("resnet18", num_classes=5, features_only=True, out_indices=(1, 2, 3, 4))
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(1.1)
    folder = tmp_path / "timm"
    stated = {"pretrained_cfg": STATED} if spelling == "pretrained_cfg" else STATED
    folder_of({"architecture": "resnet18", "num_classes": 5, "num_features": 512, **stated}, folder)
    classifier = {"fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}
    save_file({**reference.state_dict(), **classifier}, folder / "model.safetensors")
    backbone = {"name": str(folder), "pretrained": True, "out_indices": [1, 2, 3, 4]}
    model = bk.build_model({"backbone": backbone, "neck": "fpn", "head": {"name": "fcn", "num_classes": 3}})
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for given, expected in zip(model.backbone(image).maps, reference.eval()(image), strict=True):
            assert torch.allclose(given, expected, atol=1e-5)
    assert model.processor.processing.mean == (0.5, 0.4, 0.3)
    assert model.processor.processing.interpolation == "bilinear"
    assert bk.AutoImageProcessor.from_pretrained(folder).processing.std == (0.2, 0.3, 0.2)
    recipe = model.recipe.backbone
    assert (recipe.source, recipe.name, recipe.pretrained) == ("timm", "resnet18", str(folder))
    model.save_pretrained(tmp_path / "saved")
    shutil.rmtree(folder)  # what was saved stands alone
    again = bk.load_model(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again(image).predictions.logits, model(image).predictions.logits)
    assert again.processor.processing == model.processor.processing


def test_by_name_with_random_weights_and_arguments_of_the_folder(tmp_path: Path) -> None:
    content = {"architecture": "resnet18", "model_args": {"stem_type": "deep", "num_classes": 7}}
    model = bk.build_model({"backbone": {"name": str(folder_of(content, tmp_path)), "args": {"output_stride": 16}}})
    recipe = model.recipe.backbone
    assert (recipe.source, recipe.name, recipe.pretrained) == ("timm", "resnet18", False)
    assert recipe.args == {"stem_type": "deep", "output_stride": 16}


CONFIGS = {
    **{model_type: family(model_type).config_class for model_type in model_types()},
    **{
        one.model_type: one
        for one in vars(model_configs).values()
        if isinstance(one, type) and issubclass(one, ModelFields) and hasattr(one, "architecture")
    },
    "timm_backbone": TimmBackboneFields,
}


@pytest.mark.parity
@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_field_of_transformers_is_known(model_type: str) -> None:
    """So that no word which transformers reads is taken for an idle one."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CONFIG_MAPPING[
        model_type.replace("_", "-") if model_type == "maskformer-swin" else model_type
    ]
    given = {**theirs().to_dict(), **theirs.attribute_map}
    assert not CONFIGS[model_type].unknown_words(given)


def test_arguments_of_a_backbone_of_timm_beside_its_name() -> None:
    kwargs = {"in_chans": 1, "out_indices": [1, 2, 3, 4], "drop_path_rate": 0.1}
    content = {"use_timm_backbone": True, "backbone": "resnet18", "backbone_kwargs": kwargs, "model_type": "upernet"}
    recipe = resolve("checkpoint", "UperNetForSemanticSegmentation").recipe(content)
    assert recipe["backbone"]["args"] == {"drop_path_rate": 0.1}
    assert (recipe["backbone"]["in_channels"], recipe["backbone"]["out_indices"]) == (1, [1, 2, 3, 4])
    wrong = {**content, "backbone_kwargs": {**kwargs, "drop_path": 0.1}}
    with pytest.raises(RecipeError, match="resnet18 takes no such argument"):
        resolve("checkpoint", "UperNetForSemanticSegmentation").recipe(wrong)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["DFine", "RTDetr", "RTDetrV2", "Detr", "DeformableDetr", "UperNet", "Mask2Former"])
def test_a_default_configuration_opens(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{name}Config")(use_pretrained_backbone=False).to_dict()
    ours = getattr(bk, f"{name}Config").from_dict(config)
    assert ours.recipe().head is not None
    assert not ours.recipe().notes
