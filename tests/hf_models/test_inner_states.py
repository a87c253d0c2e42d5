"""Hidden states and weights of attention, against transformers: number, order, layout and values, family by family."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from backbonekit.errors import ContractError
from backbonekit.hf_models import AutoBackbone, BackboneOutput, Dinov2Config, ResNetConfig, SwinConfig
from tests.fixed_weights import randomise_weights
from tests.parity.hiera_order import hiera_as_in_its_whole_model

DINOV2 = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56}
RESNET = {"hidden_sizes": [64, 96], "depths": [1, 1]}
SWIN = {"embed_dim": 16, "depths": [2, 1], "num_heads": [2, 4], "window_size": 3}


def image(height: int = 75, width: int = 52) -> Tensor:
    return torch.randn(2, 3, height, width)


def test_nothing_is_kept_by_default() -> None:
    backbone = AutoBackbone.from_config(Dinov2Config(**DINOV2))
    out = backbone(image())
    assert (out.hidden_states, out.attentions) == (None, None)
    assert list(out) == ["feature_maps"]


def test_keeping_inner_states_changes_no_map() -> None:
    for config in (Dinov2Config(**DINOV2, out_indices=[1, 3]), SwinConfig(**SWIN), ResNetConfig(**RESNET)):
        backbone = randomise_weights(AutoBackbone.from_config(config)).eval()
        pixel_values = image()
        with torch.no_grad():
            plain = backbone(pixel_values)
            full = backbone(pixel_values, output_hidden_states=True, output_attentions=True)
            again = backbone(pixel_values)
        for one, other, third in zip(plain.feature_maps, full.feature_maps, again.feature_maps, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
            assert torch.equal(one, third)


def test_the_configuration_decides_what_the_call_leaves_open(tmp_path: Path) -> None:
    config = Dinov2Config(**DINOV2, output_hidden_states=True, output_attentions=True, return_dict=False)
    config.save_pretrained(tmp_path)
    backbone = AutoBackbone.from_config(Dinov2Config.from_pretrained(tmp_path))
    maps, states, attentions = backbone(image())
    assert (len(maps), len(states), len(attentions)) == (1, 4, 3)
    out = backbone(image(), output_attentions=False, return_dict=True)
    assert isinstance(out, BackboneOutput)
    assert list(out) == ["feature_maps", "hidden_states"]
    (maps,) = backbone(image(), output_hidden_states=False, output_attentions=False)
    assert len(maps) == 1


def test_a_wish_that_is_no_boolean_is_refused() -> None:
    backbone = AutoBackbone.from_config(ResNetConfig(**RESNET))
    with pytest.raises(ContractError, match="output_hidden_states is True or False, got 3"):
        backbone(image(), output_hidden_states=3)


def test_states_reach_to_the_last_stage_that_was_built() -> None:
    backbone = AutoBackbone.from_config(Dinov2Config(**DINOV2, out_indices=[1, 2]))
    backbone.out_indices = [1]
    out = backbone(image(), output_hidden_states=True, output_attentions=True)
    assert (len(out.feature_maps), len(out.hidden_states), len(out.attentions)) == (1, 3, 2)


def test_gradients_flow_and_recomputing_is_taken_up_again() -> None:
    backbone = AutoBackbone.from_config(Dinov2Config(**DINOV2)).train()
    backbone.backbone.set_gradient_checkpointing()
    out = backbone(image(), output_hidden_states=True, output_attentions=True)
    (out.attentions[0].square().sum() + out.hidden_states[-1].square().sum()).backward()
    assert backbone.backbone.body.blocks[0].attn.qkv.weight.grad.any()
    assert backbone.backbone.gradient_checkpointing
    backbone(image()).feature_maps[0].sum().backward()


def test_a_broken_forward_leaves_no_hook_behind() -> None:
    backbone = AutoBackbone.from_config(Dinov2Config(**DINOV2))
    with pytest.raises(ContractError):
        backbone(torch.randn(1, 4, 56, 56), output_attentions=True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())


# against transformers


def oracle(key: str) -> Any:
    pytest.importorskip("transformers")
    from tests.parity import test_hf_backbones as parity

    return parity


def theirs_and_ours(key: str, folder: Path) -> tuple[Any, Any, Tensor]:
    parity = oracle(key)
    config = parity.oracle_config(key, attn_implementation="eager")
    config.out_indices = parity.every_index(config)
    theirs = parity.transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)](config)
    randomise_weights(theirs).eval().save_pretrained(folder)
    ours = AutoBackbone.from_pretrained(folder, out_indices=parity.every_index(config))
    return theirs, ours, image(*parity.fitting(config, 97, 131))


def compare(given: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert [each.shape for each in given] == [each.shape for each in expected]
    for one, other in zip(given, expected, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


KEYS = [
    *("resnet-bottleneck", "rt-detr-resnet", "convnext", "convnextv2", "dinov3-convnext", "bit", "hgnet-v2"),
    *("focalnet", "pvt-v2", "swin", "swinv2", "dinov2", "dinov2-gated", "dinov2-with-registers", "dinov3-vit"),
    *("dinov3-vit-gated", "beit", "beit-all-positions", "vitdet", "vitdet-without-windows", "vitpose"),
    *("hiera", "hiera-pooled-once"),
]
WITHOUT_ATTENTION = ("resnet", "rt-detr", "convnext", "dinov3-convnext", "bit", "hgnet", "focalnet", "pvt")


@pytest.mark.parity
@pytest.mark.parametrize("key", KEYS)
def test_states_and_attention_are_those_of_transformers(key: str, tmp_path: Path) -> None:
    with hiera_as_in_its_whole_model() if key.startswith("hiera") else nullcontext():
        theirs, ours, pixel_values = theirs_and_ours(key, tmp_path)
    has_attention = not key.startswith(WITHOUT_ATTENTION)
    requested = {"output_hidden_states": True, **({"output_attentions": True} if has_attention else {})}
    with torch.no_grad():
        expected = theirs(pixel_values, **requested)
        given = ours(pixel_values, output_hidden_states=True, output_attentions=True)
    compare(given.feature_maps, as_maps(expected.feature_maps, given.feature_maps))
    compare(given.hidden_states, expected.hidden_states)
    if not has_attention:
        assert expected.attentions is None
        assert given.attentions is None
        return
    assert len(expected.attentions) > 0
    compare(given.attentions, expected.attentions)
    for weights in given.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def as_maps(maps: tuple[Tensor, ...], like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """vitpose_backbone returns tokens there."""
    return tuple(
        each if each.ndim == 4 else each.transpose(1, 2).unflatten(2, one.shape[-2:])
        for each, one in zip(maps, like, strict=True)
    )


@pytest.mark.parity
def test_maskformer_swin_has_states_and_attention_in_order_there_and_here_otherwise(tmp_path: Path) -> None:
    theirs, ours, pixel_values = theirs_and_ours("maskformer-swin", tmp_path)
    with torch.no_grad():
        nested = theirs(pixel_values, output_hidden_states=True).hidden_states
        called_attention = theirs(pixel_values, output_attentions=True).attentions
        given = ours(pixel_values, output_hidden_states=True, output_attentions=True)
    # There a stage is a tuple of its blocks' inputs and outputs, each twice; here it is its output.
    compare(given.hidden_states, (nested[0], *(blocks[-1] for blocks in nested[1:])))
    # What transformers calls attention here are hidden states; when this fails, compare the weights.
    compare(called_attention, tuple(blocks[1] for blocks in nested[1:]))
    for weights, heads in zip(given.attentions, ours.config.num_heads, strict=True):
        assert weights.shape[1:] == (heads, 25, 25)
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
