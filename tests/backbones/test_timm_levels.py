"""The static table of maps is correct for every kind of architecture in timm; run on the meta device."""

import pytest
import torch

from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.errors import ContractError

ANY_SIZE = [
    "resnet50",
    "resnetv2_18",
    "regnety_004",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "convnext_atto",
    "convnextv2_atto",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "pvt_v2_b0",
    "focalnet_tiny_srf",
    "mambaout_femto",
    "vgg11_bn",
    "densenet121",
    "cspdarknet53",
    "vit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "vit_base_patch32_clip_224",
    "xcit_nano_12_p16_224",
    "dla34",
    "tresnet_m",
    "hrnet_w18_small",
    "twins_svt_small",
    "samvit_base_patch16",
]
ONE_SIZE = [
    "hiera_tiny_224",
    "mvitv2_tiny",
    "maxvit_tiny_tf_224",
    "beit_base_patch16_224",
    "mixer_s16_224",
    "crossvit_9_240",
    "coat_tiny",
    "deit_tiny_distilled_patch16_224",
]


def run(name: str, size: tuple[int, int] | None):
    plan = blueprint(name, config=None, revision=None, in_channels=3, args={})
    with torch.device("meta"), torch.no_grad():
        backbone = plan.construct(range(len(plan.levels)))
        return plan, backbone, backbone(torch.empty(1, 3, *(size or plan.canvas)))


def check(plan, out, size) -> None:
    assert len({level.name for level in plan.levels}) == len(plan.levels)
    for level, feature_map in zip(plan.levels, out.maps, strict=True):
        assert feature_map.shape[1] == level.channels
        for side, length in zip(size, feature_map.shape[-2:], strict=True):
            assert side // level.stride <= length <= -(-side // level.stride), (level, feature_map.shape)
    tokens = [0 if prefix is None else prefix.shape[1] for prefix in out.prefix_tokens] or [0] * len(plan.levels)
    assert tokens == [level.prefix_tokens for level in plan.levels]


@pytest.mark.parametrize("name", ANY_SIZE)
def test_levels_at_a_size_that_is_not_the_native_one(name: str) -> None:
    needs_whole_strides = name.startswith(("dla", "hrnet", "tresnet"))
    size = (96, 160) if needs_whole_strides else (131, 87)
    plan, _, out = run(name, size)
    assert plan.fixed_size is None
    check(plan, out, size)


@pytest.mark.parametrize("name", ONE_SIZE)
def test_levels_at_the_only_size(name: str) -> None:
    plan, backbone, out = run(name, None)
    assert plan.fixed_size == plan.canvas
    check(plan, out, plan.canvas)
    height, width = plan.canvas
    with pytest.raises(ContractError, match=rf"takes images of {height} x {width} only, got {height} x {width + 32}"):
        backbone(torch.empty(1, 3, height, width + 32, device="meta"))


def test_arguments_change_the_levels() -> None:
    plain = blueprint("resnet18", config=None, revision=None, in_channels=3, args={})
    dilated = blueprint("resnet18", config=None, revision=None, in_channels=3, args={"output_stride": 8})
    assert [level.stride for level in plain.levels] == [2, 4, 8, 16, 32]
    assert [level.stride for level in dilated.levels] == [2, 4, 8, 8, 8]


def test_branches_of_one_block_have_names_of_their_own() -> None:
    plan = blueprint("coat_tiny", config=None, revision=None, in_channels=3, args={})
    assert plan.levels[1].name == "parallel_blocks:1"


def test_parameters_that_no_map_depends_on_take_no_gradient() -> None:
    plan = blueprint("hrnet_w18_small", config=None, revision=None, in_channels=3, args={})
    backbone = plan.construct([4])
    torch.stack([each.sum() for each in backbone(torch.randn(1, 3, 64, 64)).maps]).sum().backward()
    frozen = [name for name, parameter in backbone.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all(parameter.grad is not None for parameter in backbone.parameters() if parameter.requires_grad)
    with pytest.raises(ContractError, match="gradient checkpointing"):
        backbone.set_gradient_checkpointing()


def test_maps_of_a_hybrid_that_timm_folds_wrongly_are_refused() -> None:
    plan = blueprint("vit_tiny_r_s16_p8_224", config=None, revision=None, in_channels=3, args={})
    with torch.device("meta"), torch.no_grad():
        backbone = plan.construct([0])
        assert backbone(torch.empty(1, 3, 64, 96)).maps[0].shape == (1, 192, 2, 3)
        with pytest.raises(ContractError, match=r"multiples of 32 only\. The fix: processing.size_divisor=32"):
            backbone(torch.empty(1, 3, 131, 87))
