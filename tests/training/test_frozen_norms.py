"""Frozen batch norms: the same maps, the same gradients, less to keep for the backward pass."""

import copy
import pickle

import pytest
import torch
from torch import nn

from backbonekit.backbones.timm.blueprint import blueprint as timm_blueprint
from backbonekit.training.freeze import freeze, keep_in_eval
from backbonekit.training.frozen_norms import FrozenBatchNorm2d, FrozenBatchNormAct2d, replace_with_frozen
from backbonekit.training.gradient_checkpointing import gradient_checkpointing
from tests.fixed_weights import randomise_weights
from tests.training.models import BACKBONES, total

# Architectures and their batch norms, plain ones and those that also activate.
ARCHITECTURES = {
    "resnet18": 20,
    "resnet50": 53,
    "regnetx_002": 44,
    "mobilenetv3_small_050": 34,
    "hgnet_tiny": 36,
    "densenet121": 121,
    "vit_small_r26_s32_224": 0,
}


def timm(name: str) -> nn.Module:
    made = timm_blueprint(name, config=None, revision=None, in_channels=3, args={})
    return randomise_weights(made.construct((len(made.levels) - 1,))).double().eval()


def in_eval_mode(backbone: nn.Module) -> nn.Module:
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
            keep_in_eval(module)
    return backbone


def frozen(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, FrozenBatchNorm2d | FrozenBatchNormAct2d)]


def norms(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_changes_no_map_no_gradient_and_no_name(name):
    backbone = timm(name)
    plain = in_eval_mode(copy.deepcopy(backbone))
    freeze(backbone, norms=True)
    assert len(norms(backbone)) == len(frozen(backbone)) == ARCHITECTURES[name]
    assert list(backbone.state_dict()) == list(plain.state_dict())
    pixels = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    mine, expected = backbone(pixels), plain(pixels)
    for one, other in zip(mine.maps, expected.maps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())
    total(mine).backward()
    total(expected).backward()
    for (key, one), other in zip(backbone.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), key
        if other.grad is not None:
            scale = other.grad.abs().max().item()
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-9 * scale, msg=key)


def test_backward_keeps_far_fewer_maps():
    """Not the inputs of the norms; the inputs of the convolutions have to stay."""
    backbone = BACKBONES["timm_resnet"]().double().eval()  # its kernels are small
    plain = in_eval_mode(copy.deepcopy(backbone))
    freeze(backbone, norms=True)
    assert kept_bytes(backbone) < 0.65 * kept_bytes(plain)  # the stem pools what it keeps


def kept_bytes(backbone: nn.Module) -> int:
    own = {tensor.untyped_storage().data_ptr() for tensor in backbone.state_dict().values()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = backbone(torch.randn(2, 3, 224, 224, dtype=torch.float64))
    del maps
    return sum(kept.values())


def test_norms_of_frozen_stages_alone():
    backbone = BACKBONES["timm_resnet"]()
    freeze(backbone, stages=2)
    body = backbone.body
    assert set(frozen(backbone)) == {body.bn1, *norms(body.layer1)}
    assert type(body.layer2[0].bn1) is nn.BatchNorm2d
    body.layer2.train()
    before = body.layer2[0].bn1.running_mean.clone()
    backbone.train()(torch.randn(2, 3, 64, 64))
    assert not torch.equal(body.layer2[0].bn1.running_mean, before)


def test_a_norm_in_train_mode_normalises_again():
    backbone = timm("resnet18")
    freeze(backbone, norms=True)
    plain = copy.deepcopy(backbone)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d
    for one in (backbone, plain):
        for norm in norms(one):
            nn.Module.train(norm, True)
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert torch.equal(backbone(pixels).maps[0], plain(pixels).maps[0])
    assert torch.equal(backbone.body.bn1.running_mean, plain.body.bn1.running_mean)


def test_a_norm_that_learns_again_has_its_gradient():
    backbone = timm("resnet18")
    plain = in_eval_mode(copy.deepcopy(backbone))
    freeze(backbone, norms=True)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for one in (backbone, plain):
        one.requires_grad_(True)
        total(one(pixels)).backward()
    for (key, mine), other in zip(backbone.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-9 * other.grad.abs().max().item(), msg=key)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_norms_of_its_own(copied):
    backbone = timm("resnet18")
    freeze(backbone, norms=True)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    expected = backbone(pixels).maps[0]
    twin = copied(backbone)
    with torch.no_grad():
        for norm in norms(backbone):
            norm.bias.add_(1)
    assert torch.equal(twin(pixels).maps[0], expected)


def test_with_gradient_checkpointing():
    backbone = timm("resnet18")
    freeze(backbone, norms=True)
    plain = copy.deepcopy(backbone)
    gradient_checkpointing(backbone)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for one in (backbone, plain):
        total(one.train()(pixels)).backward()
    for mine, other in zip(backbone.parameters(), plain.parameters(), strict=True):
        assert mine.grad is None if other.grad is None else torch.allclose(mine.grad, other.grad)


def test_exports():
    backbone = timm("resnet18")
    freeze(backbone, norms=True)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    expected = backbone(pixels).maps[0]

    class Deepest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone

        def forward(self, pixels):
            return self.backbone(pixels).maps[0]

    program = torch.export.export(Deepest(), (pixels,))
    torch.testing.assert_close(program.module()(pixels), expected)


def test_hooks_optimisers_and_shared_norms_stay_valid():
    backbone = BACKBONES["timm_resnet"]()
    body = backbone.body
    body.layer1[0].bn2 = body.layer1[0].bn1  # one norm in two positions
    seen = []
    handle = body.bn1.register_forward_hook(lambda *_: seen.append("hook"))
    before = dict(backbone.named_parameters())
    freeze(backbone, norms=True)
    assert body.layer1[0].bn2 is body.layer1[0].bn1
    assert all(parameter is before[key] for key, parameter in backbone.named_parameters())
    backbone(torch.randn(1, 3, 64, 64))
    handle.remove()
    backbone(torch.randn(1, 3, 64, 64))
    assert seen == ["hook"]


def test_a_second_call_changes_nothing():
    backbone = timm("resnet18")
    freeze(backbone, stages=2)
    first = frozen(backbone)
    freeze(backbone, norms=True)
    assert set(first) < set(frozen(backbone))
    again = frozen(backbone)
    freeze(backbone, norms=True)
    assert frozen(backbone) == again


def test_weights_load_into_frozen_and_out_of_them():
    backbone, other = timm("resnet18"), timm("resnet18")
    plain = copy.deepcopy(other)
    freeze(backbone, norms=True)
    backbone.load_state_dict(other.state_dict(), strict=True)
    plain.load_state_dict(backbone.state_dict(), strict=True)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(backbone(pixels).maps[0], plain(pixels).maps[0])


@pytest.mark.parametrize("affine", [True, False])
def test_maps_keep_their_type_and_layout(affine):
    net = nn.Sequential(nn.BatchNorm2d(4, affine=affine)).eval()
    made = replace_with_frozen(net, {net[0]})
    assert made == [net[0]]
    pixels = torch.randn(2, 4, 5, 6, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    out = net(pixels)
    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)
