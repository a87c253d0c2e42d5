"""Parameter groups: every parameter once, at the right rate, with decay where it belongs."""

import pytest
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.errors import RecipeError
from backbonekit.training.freeze import freeze
from backbonekit.training.parameter_groups import parameter_groups
from tests.training.models import BACKBONES, WithHead


def rates(model, groups):
    """Learning rate and weight decay by parameter name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}


@pytest.mark.parametrize("layer_decay", [None, 0.5])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_parameter_stands_in_one_group(name, layer_decay):
    model = WithHead(BACKBONES[name]())
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.05, layer_decay=layer_decay)
    given = [parameter for group in groups for parameter in group["params"]]
    assert len(given) == len({id(parameter) for parameter in given})
    assert {id(parameter) for parameter in given} == {
        id(parameter) for parameter in model.parameters() if parameter.requires_grad
    }
    assert len({group["name"] for group in groups}) == len(groups)
    torch.optim.AdamW(groups)  # checks shapes and duplicates of its own


@pytest.mark.parametrize("name", BACKBONES)
def test_rates_fall_by_one_factor_with_each_layer_towards_the_input(name):
    model = WithHead(BACKBONES[name]())
    layers = model.backbone.parameter_layers()
    count = layers.count
    for key, (rate, _) in rates(model, parameter_groups(model, lr=1.0, layer_decay=0.5)).items():
        if key.startswith("backbone."):
            assert rate == 0.5 ** (count - layers.positions[key.removeprefix("backbone.")])
        else:
            assert rate == 1.0
    assert (
        len({rate for rate, _ in rates(model, parameter_groups(model, lr=1.0, layer_decay=0.5)).values()}) == count + 1
    )


def test_rates_by_hand():
    model = WithHead(BACKBONES["timm_vit"]())  # four blocks
    found = rates(model, parameter_groups(model, lr=2.0, layer_decay=0.5, backbone_scale=0.1))
    assert found["backbone.body.patch_embed.proj.weight"][0] == pytest.approx(0.2 * 0.5**5)
    assert found["backbone.body.blocks.0.mlp.fc1.weight"][0] == pytest.approx(0.2 * 0.5**4)
    assert found["backbone.body.blocks.3.mlp.fc1.weight"][0] == pytest.approx(0.2 * 0.5)
    assert found["head.classes.weight"][0] == 2.0


def test_without_layer_decay_the_backbone_has_one_rate():
    model = WithHead(BACKBONES["timm_vit"]())
    found = rates(model, parameter_groups(model, lr=2.0, backbone_scale=0.1))
    assert {rate for key, (rate, _) in found.items() if key.startswith("backbone.")} == {0.2}
    assert len(parameter_groups(model, lr=2.0, weight_decay=0.1)) == 4


@pytest.mark.parametrize("name", BACKBONES)
def test_norms_biases_tokens_tables_and_embeddings_do_not_decay(name):
    model = WithHead(BACKBONES[name]())
    found = rates(model, parameter_groups(model, lr=1.0, weight_decay=0.05))
    exempt = {key for key, (_, decay) in found.items() if decay == 0}
    expected = set()
    for prefix, module in model.named_modules():
        for key, parameter in module.named_parameters(prefix, recurse=False):
            if not isinstance(module, nn.Linear | nn.Conv2d) or key.endswith("bias"):
                expected.add(key)
                assert parameter.ndim <= 1 or key.rpartition(".")[2] in {
                    "weight",  # of an embedding
                    "cls_token",
                    "pos_embed",
                    "relative_position_bias_table",
                }
    assert exempt == {key for key in expected if key in found}
    assert {decay for key, (_, decay) in found.items() if key not in exempt} == {0.05}


def test_names_that_the_user_exempts_do_not_decay():
    model = WithHead(BACKBONES["timm_resnet"]())
    found = rates(model, parameter_groups(model, lr=1.0, weight_decay=0.05, no_decay=["head.classes.*"]))
    assert found["head.classes.weight"][1] == 0
    assert found["neck.0.weight"][1] == 0.05


def test_frozen_parameters_stand_in_no_group():
    model = WithHead(BACKBONES["timm_resnet"]())
    freeze(model.backbone, stages=2)
    found = rates(model, parameter_groups(model, lr=1.0, layer_decay=0.5))
    assert "backbone.body.conv1.weight" not in found
    assert found["backbone.body.layer4.0.conv1.weight"][0] == 0.5


def test_takes_a_bare_backbone():
    backbone = BACKBONES["hf_dinov2"]()
    found = rates(backbone, parameter_groups(backbone, lr=1.0, layer_decay=0.5))
    assert found["body.blocks.2.mlp.fc1.weight"][0] == 0.5
    assert found["body.cls_token"][0] == 0.5**4


@pytest.mark.parity
@pytest.mark.parametrize(
    "architecture", ["vit_tiny_patch16_224", "convnext_atto", "resnet18", "swin_tiny_patch4_window7_224"]
)
def test_equals_timms_groups(architecture):
    """Rates and decay are those of timm's function on the timm model inside."""
    made = blueprint(architecture, config=None, revision=None, in_channels=3, args={})
    with torch.device("meta"):
        backbone = made.construct((len(made.levels) - 1,))
    model = backbone.body
    theirs = {
        f"body.{name}": (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(
            model, weight_decay=0.05, layer_decay=0.75, no_weight_decay_list=_no_decay(model)
        )
        for parameter in group["params"]
        for name, other in model.named_parameters()
        if other is parameter
    }
    behind = 1 / 0.75  # a model without classifier has no layer behind its blocks, which has the full rate in ours
    ours = rates(backbone, parameter_groups(backbone, lr=1.0, weight_decay=0.05, layer_decay=0.75))
    assert ours.keys() == theirs.keys()
    for name, (rate, decay) in ours.items():
        assert (rate * behind, decay) == pytest.approx(theirs[name]), name


def _no_decay(model):
    return model.no_weight_decay() if "no_weight_decay" in dir(model) else ()


def test_tells_all_wrong_numbers_at_once():
    with pytest.raises(RecipeError) as caught:
        parameter_groups(nn.Linear(1, 1), lr=-1, layer_decay=1.5)
    assert len(caught.value.faults) == 2
