"""Composed models of the semantic segmenters, each once; elsewhere on other backbones and behind necks."""

from typing import ClassVar

import pytest
import torch

import backbonekit as bk
from backbonekit.export.exportable import Exportable
from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET, SMALL, SWIN, TIMM_CONVNEXT, TIMM_RESNET, TIMM_VIT
from tests.fixed_weights import randomise_weights

FOUR = ((8, 4), (16, 8), (24, 16), (32, 32))
HEADS = {
    "upernet": {"name": "upernet", "channels": 16, "auxiliary_channels": 8, "scales": [1, 2]},
    "segformer": {"name": "segformer", "channels": 16},
    "deeplabv3plus": {"name": "deeplabv3plus", "channels": 16, "fine_channels": 6, "rates": [1, 2]},
    "unet": {"name": "unet", "channels": [24, 16, 12, 8, 8]},
    "semantic_fpn": {"name": "semantic_fpn", "channels": 16, "norm": "batch"},
    "linear_probe": {"name": "linear_probe", "num_levels": 2},
}
# In training a batch norm takes off whatever constant was added before it.
TAKEN_OFF = "a constant that the batch norm after it takes off"


def head(name, **changes):
    return {"num_classes": 4, **HEADS[name], **changes}


class TestUPerNet(ModelTester):
    recipe = {
        "backbone": RESNET,
        "head": head("upernet", criterion={"name": "dense_cross_entropy", "auxiliary_weight": 0.4}),
        "processing": SMALL,
    }
    maps = FOUR
    out_indices = (1, 2, 3, 4)


class TestSegFormer(ModelTester):
    recipe = {"backbone": RESNET, "head": head("segformer"), "processing": SMALL}
    maps = FOUR
    out_indices = (1, 2, 3, 4)
    exempt: ClassVar = {"head.linear.*.bias": TAKEN_OFF}


class TestDeepLabV3Plus(ModelTester):
    """Dilated to stride 16; the map before the deepest is given for the auxiliary head."""

    recipe = {
        "backbone": {**TIMM_RESNET, "args": {**TIMM_RESNET["args"], "output_stride": 16}},
        "head": head("deeplabv3plus", auxiliary=True),
        "processing": SMALL,
    }
    maps = ((8, 4), (24, 16), (32, 16))
    out_indices = (1, 3, 4)


class TestUNet(ModelTester):
    """From stride 2 on."""

    recipe = {"backbone": TIMM_RESNET, "head": head("unet", finest_stride=2), "processing": SMALL}
    maps = ((16, 2), *FOUR)
    out_indices = (0, 1, 2, 3, 4)


class TestSemanticFPN(ModelTester):
    recipe = {
        "backbone": RESNET,
        "neck": {"name": "fpn", "channels": 16},
        "head": head("semantic_fpn"),
        "processing": SMALL,
    }
    maps = FOUR
    out_indices = (1, 2, 3, 4)


class TestLinearProbe(ModelTester):
    recipe = {"backbone": DINOV2, "head": head("linear_probe"), "processing": SMALL}
    maps = ((32, 14), (32, 14))
    out_indices = (1, 2)
    exempt: ClassVar = {"backbone.body.norm.bias": TAKEN_OFF}


BACKBONES = {
    "resnet": RESNET,
    "swin": SWIN,
    "dinov2": DINOV2,
    "timm convnext": TIMM_CONVNEXT,
    "timm resnet": TIMM_RESNET,
    "timm vit": TIMM_VIT,
}
NECKS = {
    "none": None,
    "fpn": {"name": "fpn", "channels": 16},
    "pafpn": {"name": "pafpn", "channels": 16},
    "bifpn": {"name": "bifpn", "channels": 16, "num_repeats": 2},
    "ppm": {"name": "ppm", "channels": 16, "scales": [1, 2]},
    "aspp": {"name": "aspp", "channels": 16, "rates": [1, 2]},
}


def trained_once(recipe):
    """A model after one backward pass over two images, one of them padded."""
    model = randomise_weights(bk.build_model(recipe)).train()
    mask = torch.ones(2, 64, 96, dtype=torch.bool)
    mask[0, 40:] = False
    targets = [{"segmentation": torch.randint(0, 4, (64, 96))} for _ in range(2)]
    output = model(torch.randn(2, 3, 64, 96), mask, targets)
    assert output.loss.isfinite()
    output.loss.backward()
    return model


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_head_trains_on_every_backbone(backbone, name):
    model = trained_once({"backbone": BACKBONES[backbone], "head": head(name)})
    # DistributedDataParallel waits for the gradient of every parameter.
    assert not [
        key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 131, 87)).predictions.logits.isfinite().all()


@pytest.mark.parametrize("name", ["upernet", "segformer", "unet", "semantic_fpn"])
@pytest.mark.parametrize("neck", [neck for neck in NECKS if neck != "none"])
def test_every_head_of_four_levels_trains_behind_every_neck(neck, name):
    model = trained_once({"backbone": RESNET, "neck": NECKS[neck], "head": head(name)})
    assert not [
        key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]


def test_without_a_head_the_extras_of_the_last_neck_are_handed_out():
    decoder = {"name": "fpn_pixel_decoder", "channels": 32, "mask_channels": 12}
    model = bk.build_model({"backbone": RESNET, "neck": decoder})
    output = model(torch.randn(1, 3, 64, 96))
    assert {name: tuple(extra.shape) for name, extra in output.extras.items()} == {"mask_features": (1, 12, 16, 24)}
    assert len(output.feature_maps) == 4
    assert bk.build_model({"backbone": RESNET})(torch.randn(1, 3, 64, 96)).extras is None
    exported = Exportable(model)(torch.randn(1, 3, 64, 96))
    assert list(exported) == ["feature_map_0", "feature_map_1", "feature_map_2", "feature_map_3", "mask_features"]


@pytest.mark.parametrize("name", [name for name in HEADS if name != "linear_probe"])
def test_one_image_is_enough_to_train(name):
    """No norm of a single value: 64 x 96 pixels are 2 x 3 locations at stride 32."""
    model = randomise_weights(bk.build_model({"backbone": RESNET, "head": head(name)})).train()
    targets = [{"segmentation": torch.randint(0, 4, (64, 96))}]
    loss = model(torch.randn(1, 3, 64, 96), targets=targets).loss
    loss.backward()
    assert loss.isfinite()
