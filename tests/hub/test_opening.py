"""Anything that can be opened becomes a recipe, weights and processing; the rest is refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, StorageError, WeightsError
from backbonekit.hub.opening import open_model
from backbonekit.hub.saved_model import save_model
from backbonekit.registry import lookup
from backbonekit.weights.key_map import KeyMap, Rename

RECIPE = "schema_version: 1\nbackbone: {source: timm, name: resnet18}\n"


class Converter:
    """Stands for the converter of one architecture of another library."""

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"backbone": {"source": "hf", "name": None, "config": dict(config["backbone_config"])}}

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        return ("a word is ignored",)

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        return KeyMap([Rename("model.encoder", "backbone.body")])


@pytest.fixture
def other_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(lookup._REGISTERED, ("checkpoint", "TestForSegmentation"), Converter())
    config = {"architectures": ["TestForSegmentation"], "backbone_config": {"model_type": "resnet"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"model.encoder.conv.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 48}}'
    )
    return tmp_path


def test_a_saved_model(tmp_path: Path):
    processing = Processing(size=(32, 48))
    folder = save_model(
        tmp_path / "m1", recipe_yaml=RECIPE, state_dict={"a": torch.ones(2)}, processing=processing, card="# A"
    )
    for where in (folder, str(folder)):
        opened = open_model(where)
        assert opened.recipe_mapping == {"schema_version": 1, "backbone": {"source": "timm", "name": "resnet18"}}
        assert opened.checkpoint is not None
        assert torch.equal(opened.checkpoint.tensor("a"), torch.ones(2))
        assert opened.processing == processing
        assert opened.origin == str(folder)
        assert opened.commit is None


def test_a_recipe_alone(tmp_path: Path):
    for name in ("mine.yaml", "mine.YML"):
        (tmp_path / name).write_text(RECIPE)
        opened = open_model(tmp_path / name)
        assert opened.recipe_mapping["backbone"] == {"source": "timm", "name": "resnet18"}
        assert opened.checkpoint is None
        assert opened.processing is None
    with pytest.raises(StorageError, match=r"The recipe .* does not exist"):
        open_model(tmp_path / "other.yaml")
    with pytest.raises(StorageError, match=r"is a local file and has no revision 'main'"):
        open_model(tmp_path / "mine.yaml", revision="main")


def test_the_recipe_of_a_saved_model_by_name(tmp_path: Path):
    folder = save_model(
        tmp_path / "m1", recipe_yaml=RECIPE, state_dict={"a": torch.ones(2)}, processing=Processing(), card="# A"
    )
    assert set(open_model(folder / "recipe.yaml").recipe_mapping) == {"schema_version", "backbone"}


def test_a_foreign_checkpoint(other_library: Path):
    opened = open_model(other_library)
    assert opened.recipe_mapping["backbone"]["config"] == {"model_type": "resnet"}
    assert opened.checkpoint is not None
    assert opened.checkpoint.keys() == ("backbone.body.conv.weight",)
    assert opened.processing == Processing(size=(32, 48), mean=(0.5,) * 3, std=(0.5,) * 3)


def test_an_unknown_architecture_is_refused_with_the_nearest_name(other_library: Path):
    (other_library / "config.json").write_text('{"architectures": ["TestForSegmentaton"]}')
    with pytest.raises(
        RecipeError, match=r"'TestForSegmentaton' is not supported; did you mean 'TestForSegmentation'\?"
    ):
        open_model(other_library)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("DetrForSegmentation", "Mask2FormerForUniversalSegmentation, MaskFormerForInstanceSegmentation"),
        ("OneFormerForUniversalSegmentation", "Mask2FormerForUniversalSegmentation, MaskFormerForInstanceSegmentation"),
        ("GroundingDinoForObjectDetection", "DFineForObjectDetection, DeformableDetrForObjectDetection"),
        ("OwlViTForZeroShotObjectDetection", "DFineForObjectDetection, DeformableDetrForObjectDetection"),
        (
            "BeitForSemanticSegmentation",
            "Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation, UperNetForSemanticSegmentation",
        ),
        ("ZoeDepthForDepthEstimation", "DPTForDepthEstimation, DepthAnythingForDepthEstimation"),
        ("SuperPointForKeypointDetection", "VitPoseForPoseEstimation"),
    ],
)
def test_a_class_that_is_not_supported_names_those_of_its_kind(tmp_path: Path, name: str, same: str):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [name]}))
    with pytest.raises(RecipeError, match=f"'{name}' is not supported; supported for the same task: {same}"):
        open_model(tmp_path)


@pytest.mark.parametrize("architectures", ["null", '"TestForSegmentation"', "[]", "[5]"])
def test_a_configuration_without_an_architecture(other_library: Path, architectures: str):
    (other_library / "config.json").write_text(f'{{"architectures": {architectures}}}')
    with pytest.raises(StorageError, match=r"names no architecture of transformers"):
        open_model(other_library)


def test_pickled_foreign_weights_are_refused(other_library: Path):
    (other_library / "model.safetensors").rename(other_library / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"backbonekit convert FILE DIR"):
        open_model(other_library)


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(StorageError, match=r"is no model: it has neither recipe.yaml .* nor config.json"):
        open_model(tmp_path)


def test_a_repository_in_the_offline_cache(other_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hub" / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / commit).symlink_to(other_library)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    opened = open_model("owner/name")
    assert opened.commit == commit
    assert opened.origin == "owner/name@01234567"
    assert opened.checkpoint is not None
    assert opened.checkpoint.commit == commit
