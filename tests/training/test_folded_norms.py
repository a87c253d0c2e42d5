"""Frozen norms inside kernels: same maps, same gradients, less to keep; and only where nothing else would change."""

import copy
import pickle

import pytest
import torch
from torch import nn

from backbonekit.backbones.timm.blueprint import blueprint as timm_blueprint
from backbonekit.contract.maps import FeatureMaps
from backbonekit.training.folded_norms import FoldedConvolution, fold_frozen_norms
from backbonekit.training.freeze import freeze, keep_in_eval
from backbonekit.training.gradient_checkpointing import gradient_checkpointing
from tests.fixed_weights import randomise_weights
from tests.training.models import BACKBONES, total

# Norms and those that can be folded. All of them, whether the norm also activates or not; of DenseNet, whose blocks
# normalise what they have joined, the stem's and one in each of 58 layers.
ARCHITECTURES = {
    "resnet18": (20, 20),
    "resnet50": (53, 53),
    "regnetx_002": (44, 44),
    "mobilenetv3_small_050": (34, 34),
    "hgnet_tiny": (36, 36),
    "densenet121": (121, 59),
    "vit_small_r26_s32_224": (0, 0),
}


def timm(name: str) -> nn.Module:
    made = timm_blueprint(name, config=None, revision=None, in_channels=3, args={})
    return randomise_weights(made.construct((len(made.levels) - 1,))).double().eval()


def frozen_without_folding(backbone: nn.Module) -> nn.Module:
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
            keep_in_eval(module)
    return backbone


def folded(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, FoldedConvolution)]


def norms(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_changes_no_map_no_gradient_and_no_name(name):
    backbone = timm(name)
    plain = frozen_without_folding(copy.deepcopy(backbone))
    freeze(backbone, norms=True)
    assert (len(norms(backbone)), len(folded(backbone))) == ARCHITECTURES[name]
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
    """Not those in front of the norms; what enters the convolutions has to stay."""
    backbone = BACKBONES["timm_resnet"]().double().eval()  # its kernels are small
    plain = frozen_without_folding(copy.deepcopy(backbone))
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
    assert folded(backbone) == frozen_convolutions(body)
    assert type(body.layer2[0].conv1) is nn.Conv2d
    body.layer2.train()
    before = body.layer2[0].bn1.running_mean.clone()
    backbone.train()(torch.randn(2, 3, 64, 64))
    assert not torch.equal(body.layer2[0].bn1.running_mean, before)


def frozen_convolutions(body: nn.Module) -> list[nn.Module]:
    return [body.conv1, *(module for module in body.layer1.modules() if isinstance(module, nn.Conv2d))]


def test_a_norm_in_train_mode_normalises_again():
    backbone = timm("resnet18")
    freeze(backbone, norms=True)
    plain = copy.deepcopy(backbone)
    for module in plain.modules():
        if isinstance(module, FoldedConvolution):
            module.__class__ = nn.Conv2d
        elif isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d
    for one in (backbone, plain):
        for norm in norms(one):
            nn.Module.train(norm, True)
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert torch.equal(backbone(pixels).maps[0], plain(pixels).maps[0])
    assert torch.equal(backbone.body.bn1.running_mean, plain.body.bn1.running_mean)


def test_a_norm_that_learns_again_has_its_gradient():
    backbone = timm("resnet18")
    plain = frozen_without_folding(copy.deepcopy(backbone))
    freeze(backbone, norms=True)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for one in (backbone, plain):
        one.requires_grad_(True)
        total(one(pixels)).backward()
    for (key, mine), other in zip(backbone.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-9 * other.grad.abs().max().item(), msg=key)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_folds_its_own_norms(copied):
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


class Net(nn.Module):
    in_channels = 3

    def __init__(self, way) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)
        self.way = way

    def forward(self, pixels):
        return self.way(self, pixels)


WAYS = {
    "one after the other": (lambda net, x: net.norm(net.first(x)), 1),
    "without scale and shift": (lambda net, x: net.other(net.first(x)), 1),
    "a size is asked for": (lambda net, x: net.norm(y) if (y := net.first(x)).shape[-1] > 1 and y.ndim == 4 else y, 1),
    "the map is also added": (lambda net, x: net.norm(y := net.first(x)) + y, 0),
    "the map is changed in between": (lambda net, x: net.norm(net.first(x).relu_()), 0),
    "two norms read it": (lambda net, x: net.norm(y := net.first(x)) + net.other(y), 0),
    "the convolution works twice": (lambda net, x: net.norm(net.first(x)) + net.other(net.first(x)), 0),
    "the norm works twice": (lambda net, x: net.norm(net.norm(net.first(x))), 0),
    "padded with something else than zeros": (lambda net, x: net.norm(net.second(net.first(x))), 0),
    "the map is given to the user": (lambda net, x: (y := net.first(x), net.norm(y)), 0),
    "in a list": (lambda net, x: net.norm(y := net.first(x)) + torch.cat([y, y], dim=1)[:, :4], 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_only_where_a_norm_alone_reads_a_convolution(way):
    run, count = WAYS[way]
    net = randomise_weights(Net(run)).eval().requires_grad_(False)
    pixels = torch.randn(2, 3, 8, 8)
    expected = net(pixels)
    assert fold_frozen_norms(net) == count
    torch.testing.assert_close(net(pixels), expected)


def test_a_map_that_could_be_asked_for_later_is_left_alone():
    class Selecting(Net):
        built = 2

        def maps_at(self, pixels, indices):
            maps = (stem := self.first(pixels), self.norm(stem))
            return FeatureMaps(tuple(maps[index] for index in indices))

    net = Selecting(lambda net, x: net.maps_at(x, (1,)).maps[0]).eval().requires_grad_(False)
    assert fold_frozen_norms(net) == 0


def test_norms_that_learn_are_left_alone():
    net = Net(WAYS["one after the other"][0])
    net.eval()
    assert fold_frozen_norms(net) == 0
    net.requires_grad_(False).train()
    assert fold_frozen_norms(net) == 0


def test_what_cannot_be_run_without_numbers_keeps_its_norms():
    def asks_for_a_number(net, x):
        return net.norm(net.first(x)) if x.sum().item() > -1e9 else x

    net = Net(asks_for_a_number).eval().requires_grad_(False)
    assert fold_frozen_norms(net) == 0
    assert type(net.first) is nn.Conv2d
    assert not net.first._forward_hooks
    assert not net.norm._forward_pre_hooks


def test_finding_out_leaves_weights_statistics_and_chance_alone():
    backbone = BACKBONES["timm_resnet"]().train()
    before = copy.deepcopy(backbone.state_dict())
    state = torch.get_rng_state()
    freeze(backbone, stages=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
