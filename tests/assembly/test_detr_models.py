"""DETR and Deformable DETR as composed models, and their frozen backbones."""

from typing import ClassVar

import pytest
import torch

import backbonekit as bk
from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET, SMALL
from tests.fixed_weights import randomise_weights

ENCODER = {"name": "transformer_encoder", "channels": 32, "num_layers": 1, "num_heads": 4, "feedforward_channels": 32}
DETR = {"name": "detr", "num_classes": 4, "num_queries": 5, "num_layers": 2, "num_heads": 4, "feedforward_channels": 32}
MAPPER = {"name": "channel_mapper", "channels": 32, "num_extra_levels": 1}
DEFORMABLE_ENCODER = {
    "name": "deformable_encoder",
    "num_layers": 1,
    "num_heads": 4,
    "num_points": 2,
    "feedforward_channels": 32,
}
DEFORMABLE_DETR = {
    "name": "deformable_detr",
    "num_classes": 4,
    "num_queries": 5,
    "num_layers": 2,
    "num_heads": 4,
    "num_points": 2,
    "feedforward_channels": 32,
}
KEY_BIAS = "adds the same to all scores of a query, which softmax does not see"


class DETRTester(ModelTester):
    exempt: ClassVar = {
        "*_attention.key.bias": KEY_BIAS,
        # The queries start at zero, so before the first layer all values are the same, whatever attends to what.
        "head.layers.0.self_attention.query.*": "attends over equal values",
        "head.layers.0.self_attention.key.weight": "attends over equal values",
        "head.layers.0.self_attention.value.weight": "times zero",
    }


class TestDETR(DETRTester):
    recipe = {"backbone": RESNET, "neck": ENCODER, "head": DETR, "processing": SMALL}
    maps = ((32, 32),)
    out_indices = (4,)


@pytest.mark.slow
class TestDETROnDinov2(DETRTester):
    recipe = {"backbone": DINOV2, "neck": ENCODER, "head": DETR, "processing": SMALL}
    maps = ((32, 14),)
    out_indices = (2,)


class TestDeformableDETR(ModelTester):
    recipe: ClassVar = {
        "backbone": RESNET,
        "neck": [MAPPER, DEFORMABLE_ENCODER],
        "head": DEFORMABLE_DETR,
        "processing": SMALL,
    }
    maps = ((16, 8), (24, 16), (32, 32))
    out_indices = (2, 3, 4)
    exempt: ClassVar = {
        "head.layers.*.self_attention.key.bias": KEY_BIAS,
        # 32 groups of one channel each.
        "neck.0.*.convolution.bias": "the norm after it takes the mean of each group away",
    }


class TestTwoStageDeformableDETR(TestDeformableDETR):
    recipe: ClassVar = {
        **TestDeformableDETR.recipe,
        "head": {
            **DEFORMABLE_DETR,
            "box_refinement": True,
            "two_stage": True,
            "criterion": {"name": "box_set", "proposals": "objectness"},
        },
    }


def test_the_recipes_freeze_what_the_papers_freeze():
    """Stem, first stage and every norm: a step of training moves none of them, and everything else."""
    from backbonekit.training.freeze import freeze

    for name in ("detr_resnet50", "deformable_detr_resnet50"):
        recipe = bk.build_model(name, ["neck=null", "head=null"]).recipe
        assert recipe.to_dict()["training"] == {"freeze": {"stages": 2, "norms": True}}, name
    model = bk.build_model({**TestDETR.recipe, "training": recipe.to_dict()["training"]})
    randomise_weights(model)  # fresh residual branches start at zero, and what they hold would not move
    freeze(model, **model.recipe.to_dict()["training"]["freeze"])
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.0)
    tester = TestDETR()
    model(tester.images(), targets=tester.targets()).loss.backward()
    optimizer.step()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    norms = {name for name, one in model.backbone.named_modules() if isinstance(one, torch.nn.BatchNorm2d)}
    weights = {name for name, _ in model.backbone.named_parameters() if name.rpartition(".")[0] not in norms}
    assert norms
    frozen = {name for name in weights if name.startswith(("body.conv1.", "body.layer1."))}
    assert len(frozen) > 2
    assert {key.removeprefix("backbone.") for key in moved if key.startswith("backbone.")} == weights - frozen
    assert not any(model.backbone.get_submodule(name).training for name in norms)
