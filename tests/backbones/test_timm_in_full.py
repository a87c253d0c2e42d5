"""The stated maps of every timm architecture are correct: one of each module here, all of them in the slow tests."""

import runpy
from pathlib import Path

import pytest
import timm
import torch

from backbonekit.backbones.timm.blueprint import blueprint
from tests.fixed_weights import randomise_weights

DOCS = Path(__file__).parents[2] / "docs"
TIMM = runpy.run_path(str(DOCS / "make_timm.py"))
MODULES: dict[str, str] = TIMM["module_names"]()
PAGE = (DOCS / "timm.md").read_text(encoding="utf-8")

# Small architectures, one of a module, where the first by name is not small.
SMALL = """
    beit_base_patch16_224 botnet26t_256 cait_xxs24_224 coat_lite_tiny coatnet_pico_rw_224 convit_tiny
    convmixer_768_32 convnext_atto cpubone_nano crossvit_tiny_240 cspdarknet53 cspnext_tiny davit_tiny
    deit3_small_patch16_224 densenet121 dla34 dpn48b edgenext_xx_small efficientformerv2_s0 efficientnet_b0
    efficientvim_m1 efficientvit_b0 ese_vovnet19b_slim eva02_tiny_patch14_224 fasternet_t0 fastvit_t8
    focalnet_tiny_srf gcvit_xxtiny gernet_s ghostnet_050 hgnetv2_b0 hiera_tiny_224 hrnet_w18_small iformer_t
    inception_next_atto lcnetv2_small legacy_seresnet18 levit_128s mambaout_femto mixer_s32_224
    mobilenetv3_small_050 mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_gap nest_tiny
    nextvit_small nf_resnet26 pit_ti_224 poolformer_s12 pvt_v2_b0 qwen3_vit_306m rdnet_tiny regnety_002
    repghostnet_050 repvit_m0_9 res2net50_48w_2s resnest14d resnet18 resnetv2_18 rexnet_100 sam2_hiera_tiny
    selecsls42 sequencer2d_s shvit_s1 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224
    swinv2_tiny_window8_256 test_vit test_vit_relpos tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m
    twins_svt_small vgg11 visformer_tiny vit_small_r26_s32_224 vitamin_small_224 volo_d1_224 xception41
    xcit_nano_12_p16_224
"""
QUICK = {MODULES[name]: name for name in SMALL.split() if name in MODULES}


def check(name: str, *, is_thorough: bool) -> None:
    found = TIMM["survey"](name, MODULES[name], is_thorough=is_thorough)
    assert not found.refused
    assert found.faults == []
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {MODULES[name]} |"))
    _, _, _, maps, images, tokens, _ = (cell.strip() for cell in row.split("|"))
    assert TIMM["pattern"](found.strides) in maps
    if is_thorough:
        assert {0: "one", 1: "any"}.get(found.multiple, f"of {found.multiple}") in images
    assert str(found.tokens) in tokens


# An LSTM takes its time without values.
@pytest.mark.parametrize("module", sorted(set(MODULES.values()) - {"sequencer"}))
def test_one_of_each_module(module: str) -> None:
    check(QUICK.get(module) or min(timm.list_models(module=module)), is_thorough=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_architecture(name: str) -> None:
    check(name, is_thorough=True)


def test_the_page_has_every_module_and_nothing_that_went_wrong() -> None:
    assert {line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")} >= set(MODULES.values())
    assert PAGE.endswith("## Refused\n\nNone.\n\n## Otherwise than published\n\nNone.\n")


def test_the_page_counts_what_it_lists() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| ") and "module of timm" not in line]
    surveyed = sum(int(row[2]) for row in rows)
    assert f"{surveyed} of the " in PAGE.splitlines()[2]
    if f"timm {timm.__version__} " in PAGE:
        assert f" of the {len(MODULES)} architectures" in PAGE.splitlines()[2], "run `python docs/make_timm.py`"


def test_maps_made_of_tokens_are_those_that_timm_makes() -> None:
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "head_dim": 16, "intermediate_size": 48, "img_size": 96}
    plan = blueprint("gemma4_vit_167m", config=None, revision=None, in_channels=3, args=small)
    backbone = randomise_weights(plan.construct([0, 1])).eval()
    pixel_values = torch.randn(2, 3, 48, 96)
    with torch.no_grad():
        expected = backbone.body.forward_intermediates(pixel_values, indices=[0, 1], intermediates_only=True)
        for given, other in zip(backbone(pixel_values).maps, expected, strict=True):
            assert torch.equal(given, other)
