"""Which maps are returned: every row of what transformers 5 and timm were seen to do, and what is done here instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models import (
    AutoBackbone,
    MaskFormerConfig,
    PvtV2Config,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
    TimmBackbone,
    TimmBackboneConfig,
)

TINY = {"hidden_sizes": [64, 64, 96, 96], "depths": [1, 1, 1, 1], "layer_type": "basic"}

# A configuration's call, and what it says then.
KEPT = {
    "nothing is the last stage": ({}, [4]),
    "a tuple": ({"out_indices": (1,)}, [1]),
    "a list": ({"out_indices": [1, 2]}, [1, 2]),
    "a negative is resolved": ({"out_indices": [-1]}, [4]),
    "negatives in order": ({"out_indices": [-2, -1]}, [3, 4]),
    "both signs in order": ({"out_indices": [1, -1]}, [1, 4]),
    "a number alone": ({"out_indices": 3}, [3]),
    "a range": ({"out_indices": range(1, 3)}, [1, 2]),
    "a list of OmegaConf": ({"out_indices": OmegaConf.create([1, 2])}, [1, 2]),
    "a list of names of OmegaConf": ({"out_features": OmegaConf.create(["stage1"])}, [1]),
    "a tuple of names": ({"out_features": ("stage1",)}, [1]),
    "both, agreeing": ({"out_features": ["stage1", "stage4"], "out_indices": [1, -1]}, [1, 4]),
}
REFUSED = {
    "order by a negative": ({"out_indices": [-1, 1]}, r"did you mean \[1, 4\]"),
    "order": ({"out_indices": [2, 1]}, r"did you mean \[1, 2\]"),
    "a repetition": ({"out_indices": [1, 1]}, r"repeats a stage; did you mean \[1\]"),
    "a repetition by a negative": ({"out_indices": [4, -1]}, "repeats a stage"),
    "past the end": ({"out_indices": [5]}, "5 out of range; the stages are 0 stem"),
    "before the start": ({"out_indices": [-6]}, "-6 out of range"),
    "none at all": ({"out_indices": []}, "is empty"),
    "text": ({"out_indices": "1"}, "list of whole numbers"),
    "a number with a point": ({"out_indices": [1.0]}, "must be whole numbers, got 1.0"),
    "a boolean": ({"out_indices": [True]}, "must be whole numbers, got True"),
    "a boolean alone": ({"out_indices": True}, "list of whole numbers"),
    "a name alone": ({"out_features": "stage1"}, "must be a list of names"),
    "names that are none": ({"out_features": True}, "must be a list of names"),
    "a name of no stage": ({"out_features": ["stage9"]}, "no stage 'stage9'"),
    "names out of order": ({"out_features": ["stage2", "stage1"]}, "not in network order"),
    "names repeated": ({"out_features": ["stage1", "stage1"]}, "repeats a stage"),
    "both, of different length": ({"out_features": ["stage1"], "out_indices": [1, 2]}, "give one of the two"),
    "both, different": ({"out_features": ["stage1"], "out_indices": [2]}, "give one of the two"),
}


@pytest.mark.parametrize(("fields", "indices"), KEPT.values(), ids=list(KEPT))
def test_a_selection_is_taken(fields: dict[str, Any], indices: list[int]) -> None:
    config = ResNetConfig(**TINY, **fields)
    assert config.out_indices == indices
    assert config.out_features == [config.stage_names[index] for index in indices]
    backbone = ResNetBackbone(config)
    assert backbone.out_indices == indices
    assert len(backbone(torch.randn(1, 3, 32, 32)).feature_maps) == len(indices)


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_selection_is_refused_with_a_message(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**TINY, **fields)
    with pytest.raises(ValueError, match=message):
        AutoBackbone.from_config(ResNetConfig(**TINY), **fields)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ResNetConfig(out_indicies=[1]), "no field 'out_indicies'; did you mean 'out_indices'"),
        (lambda: SwinConfig(embed_dims=96, depth=[2]), "'embed_dims'; did you mean 'embed_dim'"),
        (lambda: MaskFormerConfig(backbone_cfg=None), "'backbone_cfg'; did you mean 'backbone"),
        (lambda: TimmBackboneConfig("resnet18", out_indcies=[1]), "'out_indcies'; did you mean 'out_indices'"),
        (lambda: ResNetConfig([64, 96]), "ResNetConfig takes no value without a name"),
        (lambda: TimmBackboneConfig("resnet18", 3), "takes only backbone without a name"),
        (lambda: TimmBackboneConfig(), "needs backbone"),
    ],
    ids=["indices", "architecture", "maskformer", "timm", "by position", "timm by position", "timm without a name"],
)
def test_an_unknown_field_is_no_default(call: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        call()


def test_all_unknown_fields_are_reported_together() -> None:
    with pytest.raises(RecipeError) as caught:
        ResNetConfig(depth=[1], hidden_size=[2])
    assert len(caught.value.faults) == 2


# setting after construction


def test_none_goes_back_to_the_last_stage() -> None:
    config = ResNetConfig(out_indices=[1])
    config.out_indices = None
    assert (config.out_indices, config.out_features) == ([4], ["stage4"])


def test_a_refused_value_leaves_everything_as_it_was() -> None:
    config = ResNetConfig(**TINY, out_indices=[1])
    backbone = ResNetBackbone(config)
    for owner in (config, backbone):
        for wrong in ([7], [2, 1], [], [True]):
            with pytest.raises(ContractError):
                owner.out_indices = wrong
        with pytest.raises(ContractError):
            owner.out_features = ["stage9"]
        assert (owner.out_indices, owner.out_features) == ([1], ["stage1"])


def test_two_backbones_of_one_configuration_are_two() -> None:
    config = ResNetConfig(**TINY, out_indices=[1, 2])
    one, other = ResNetBackbone(config), ResNetBackbone(config)
    one.out_indices = [2]
    assert (other.out_indices, config.out_indices) == ([1, 2], [1, 2])


def test_stages_with_norms_of_their_own_can_be_chosen_after_building() -> None:
    config = SwinConfig(embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=3, out_indices=[2])
    backbone = SwinBackbone(config)
    backbone.out_features = ["stage1"]
    assert backbone(torch.randn(1, 3, 32, 32)).feature_maps[0].shape == (1, 16, 8, 8)


def test_from_config_takes_a_selection() -> None:
    config = ResNetConfig(**TINY)
    assert AutoBackbone.from_config(config, out_indices=[1]).channels == [64]
    assert config.out_indices == [4]


def test_one_of_two_spellings_can_be_replaced_when_loading(tmp_path: Path) -> None:
    ResNetConfig(out_indices=[1, 2]).save_pretrained(tmp_path)
    assert ResNetConfig.from_pretrained(tmp_path, out_features=["stage3"]).out_indices == [3]
    assert ResNetConfig.from_pretrained(tmp_path, out_indices=(0,)).out_features == ["stem"]


# timm

TIMM_KEPT = {
    "unset is the last": ({}, [4]),
    "a list": ({"out_indices": [1, 2]}, [1, 2]),
    "a negative is resolved": ({"out_indices": [-1]}, [4]),
    "a number is that map, not so many": ({"out_indices": 3}, [3]),
    "a list of OmegaConf": ({"out_indices": OmegaConf.create([1, 2])}, [1, 2]),
    "names are first class": ({"out_features": ["layer1", "layer2"]}, [1, 2]),
}
TIMM_REFUSED = {
    "out of range": ({"out_indices": [7]}, "7 out of range"),
    "order": ({"out_indices": [3, 1]}, r"out_indices \[3, 1\] is not in network order"),
    "a repetition": ({"out_indices": [1, 1]}, "out_indices .* repeats"),
    "none at all": ({"out_indices": []}, "is empty"),
    "a name alone": ({"out_features": "stage1"}, "must be a list of names"),
    "names that are none": ({"out_features": True}, "must be a list of names"),
    "a name of no stage": ({"out_features": ["stage1"]}, "no stage 'stage1'"),
    "no maps": ({"features_only": False}, "a TimmBackbone returns feature maps"),
}


@pytest.mark.parametrize(("fields", "indices"), TIMM_KEPT.values(), ids=list(TIMM_KEPT))
def test_timm_takes_a_selection(fields: dict[str, Any], indices: list[int]) -> None:
    backbone = TimmBackbone(TimmBackboneConfig("resnet18", **fields))
    assert backbone.out_indices == indices
    maps = backbone(torch.randn(1, 3, 32, 32)).feature_maps
    assert [each.shape[1] for each in maps] == backbone.channels


@pytest.mark.parametrize(("fields", "message"), TIMM_REFUSED.values(), ids=list(TIMM_REFUSED))
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])  # timm fails for each in another way
def test_timm_refuses_when_it_is_configured(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimmBackboneConfig(name, **fields)


@pytest.mark.parametrize(
    ("name", "index", "stride"),
    [
        *[("test_resnet", 0, 2), ("test_resnet", 1, 4), ("test_efficientnet", 0, 2)],
        *[("test_convnext", 0, 4), ("test_convnext", 1, 8), ("test_vit", 1, 16)],
    ],
)
def test_the_numbering_of_timm_is_its_own(name: str, index: int, stride: int) -> None:
    backbone = TimmBackbone(TimmBackboneConfig(name, out_indices=[index]))
    side = (backbone.backbone.fixed_size or (64, 64))[0]
    assert backbone.strides == [stride]
    assert backbone(torch.randn(1, 3, side, side)).feature_maps[0].shape[-1] == side // stride


def test_vgg_begins_with_the_size_of_the_image() -> None:
    assert [level.stride for level in TimmBackboneConfig("vgg11").blueprint().levels[:2]] == [1, 2]


def test_a_family_without_a_stem_begins_with_its_first_stage() -> None:
    config = PvtV2Config()
    assert config.stage_names == ["stage1", "stage2", "stage3", "stage4"]
    config.out_indices = [1]
    assert config.out_features == ["stage2"]


def test_the_setter_of_timm_changes_what_is_returned() -> None:
    backbone = TimmBackbone(TimmBackboneConfig("test_resnet", out_indices=[1, 2]))
    backbone.out_indices = [2]
    maps = backbone(torch.randn(1, 3, 32, 32)).feature_maps
    assert [each.shape[1] for each in maps] == backbone.channels
    assert backbone.config.out_indices == [1, 2]
    with pytest.raises(ContractError, match="was not built"):
        backbone.out_indices = [2, 3]
    assert backbone.out_indices == [2]


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "mambaout_femto"])
def test_maps_of_timm_are_channels_first(name: str) -> None:
    backbone = TimmBackbone(TimmBackboneConfig(name, out_indices=[0]))
    side = (backbone.backbone.fixed_size or (64, 64))[0]
    shape = backbone(torch.randn(1, 3, side, side)).feature_maps[0].shape
    assert (shape[1], shape[2] * backbone.strides[0]) == (backbone.channels[0], side)


def test_arguments_of_the_architecture_arrive_also_through_a_parent() -> None:
    own = TimmBackboneConfig("test_vit", out_indices=[1], backbone_kwargs={"img_size": 96})
    assert TimmBackbone(own).plan.canvas == (96, 96)
    parent = MaskFormerConfig(
        backbone="test_resnet", use_timm_backbone=True, backbone_kwargs={"drop_path_rate": 0.2, "out_indices": [1, 2]}
    )
    assert parent.recipe().backbone.args == {"drop_path_rate": 0.2}
    with pytest.raises(ValueError, match="img_sizes"):
        TimmBackboneConfig("test_vit", out_indices=[1], backbone_kwargs={"img_sizes": 96})


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "densenet121", "hgnetv2_b0"])
def test_states_of_timm_are_there_for_every_architecture(name: str) -> None:
    backbone = TimmBackbone(TimmBackboneConfig(name, out_indices=[1]))
    side = (backbone.backbone.fixed_size or (64, 64))[0]
    with torch.no_grad():
        assert len(backbone(torch.randn(1, 3, side, side), output_hidden_states=True).hidden_states) == 2


def test_gradient_checkpointing_is_there_or_refused() -> None:
    ResNetBackbone(ResNetConfig(**TINY)).backbone.set_gradient_checkpointing()
    TimmBackbone(TimmBackboneConfig("test_vit")).backbone.set_gradient_checkpointing()
