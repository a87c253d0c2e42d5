"""Configuration classes: which maps, in two spellings that follow each other; reading and writing."""

import errno
import json
from pathlib import Path

import pytest

from backbonekit.backbones.hf.model_types import model_types
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.hf_models import (
    BackboneConfigMixin,
    MaskFormerSwinConfig,
    ResNetConfig,
    SwinConfig,
    TimmBackboneConfig,
)
from backbonekit.hf_models.backbone_configs import config_class

CONFIGS = [config_class(model_type) for model_type in model_types()]


@pytest.mark.parametrize("config_type", CONFIGS)
def test_unset_means_the_last_stage(config_type: type[BackboneConfigMixin]) -> None:
    config = config_type()
    assert config.out_indices == [len(config.stage_names) - 1]
    assert config.out_features == [config.stage_names[-1]]
    assert not config.indices_were_set


def test_each_spelling_follows_the_other() -> None:
    config = ResNetConfig(out_indices=(1, -1))
    assert config.indices_were_set
    assert (config.out_indices, config.out_features) == ([1, 4], ["stage1", "stage4"])
    config.out_features = ("stem",)
    assert config.out_indices == [0]
    config.out_indices = 2
    assert config.out_features == ["stage2"]
    config.out_indices = None
    assert config.out_features == ["stage4"]
    assert ResNetConfig(out_features=["stage1"], out_indices=[1]).out_indices == [1]


@pytest.mark.parametrize(
    "selection",
    [
        {"out_indices": [5]},
        {"out_indices": [-6]},
        {"out_indices": [2, 1]},
        {"out_indices": [1, 1]},
        {"out_indices": [4, -1]},
        {"out_indices": []},
        {"out_indices": [True]},
        {"out_indices": [1.0]},
        {"out_indices": "1"},
        {"out_features": ["stage9"]},
        {"out_features": ["stage2", "stage1"]},
        {"out_features": ["stage1"], "out_indices": [2]},
        {"out_features": ["stage1", "stage2"], "out_indices": [1]},
    ],
)
def test_a_wrong_selection_is_a_value_error_and_changes_nothing(selection: dict) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ResNetConfig(**selection)
    if len(selection) == 1:
        config = ResNetConfig(out_indices=[3])
        ((name, value),) = selection.items()
        with pytest.raises(ContractError):
            setattr(config, name, value)
        assert (config.out_indices, config.out_features) == ([3], ["stage3"])


def test_the_message_lists_the_stages() -> None:
    with pytest.raises(ValueError, match="0 stem, 1 stage1, 2 stage2, 3 stage3, 4 stage4"):
        SwinConfig(out_features=["stage5"])


def test_maskformer_swin_has_no_map_of_the_stem() -> None:
    with pytest.raises(ContractError, match="no map of 'stem'"):
        MaskFormerSwinConfig(out_features=["stem"])


def test_two_configs_share_nothing() -> None:
    one, other = ResNetConfig(), ResNetConfig()
    one.out_indices = [1]
    assert other.out_indices == [4]


@pytest.mark.parametrize("config_type", CONFIGS)
def test_round_trip(config_type: type[BackboneConfigMixin], tmp_path: Path) -> None:
    config = config_type(out_indices=[1, 2])
    assert config_type.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    config.save_pretrained(tmp_path)
    again = config_type.from_pretrained(tmp_path)
    assert again.out_indices == [1, 2]
    assert config_type.from_pretrained(tmp_path, out_features=[again.stage_names[1]]).out_indices == [1]
    # What transformers writes for "unset" is no wish of anybody's.
    assert not config_type.from_dict(config_type().to_dict()).indices_were_set


def test_a_save_that_fails_keeps_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ResNetConfig(out_indices=[1]).save_pretrained(tmp_path / "saved")
    write_text = Path.write_text

    def write_half(path: Path, text: str, **options: str) -> None:
        write_text(path, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(StorageError, match="could not be written: No space left on device"):
        ResNetConfig(out_indices=[2]).save_pretrained(tmp_path / "saved")
    assert ResNetConfig.from_pretrained(tmp_path / "saved").out_indices == [1]
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["config.json"]


def test_what_is_written_is_read_by_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    ours = SwinConfig(depths=[1, 1], num_heads=[3, 6], out_indices=[1])
    theirs = transformers.SwinConfig.from_dict(ours.to_dict())
    assert theirs.out_features == ["stage1"]
    assert list(theirs.depths) == [1, 1]


def test_a_timm_config_takes_its_name_first() -> None:
    config = TimmBackboneConfig("resnet18", out_indices=[1, 2])
    assert config.indices_were_set
    assert config.blueprint().levels[1].name == "layer1"
    assert not TimmBackboneConfig("resnet18").indices_were_set
    with pytest.raises(ContractError, match="features_only"):
        TimmBackboneConfig("resnet18", features_only=False)


def test_the_name_of_a_timm_architecture_is_text_or_a_path() -> None:
    assert TimmBackboneConfig(Path("resnet18")).backbone == "resnet18"  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="TimmBackboneConfig: backbone: given 18, must be text"):
        TimmBackboneConfig(18)  # type: ignore[arg-type]
