"""AtrousPyramidNeck: the neck's contract, equality with torchvision's ASPP."""

import pytest
import torch
from torchvision.models.segmentation.deeplabv3 import ASPP

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.necks.aspp import AtrousPyramidNeck
from tests.fixed_weights import randomise_weights
from tests.necks.neck_tester import NeckTester


class TestASPP(NeckTester):
    part = AtrousPyramidNeck
    options = {"channels": 24, "rates": (1, 2)}
    golden = (0.907172, 0.167120, 0.037472, 0.344591)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 24, 16),))


class TestASPPBesideFineLevels(NeckTester):
    part = AtrousPyramidNeck
    options = {"channels": 16, "rates": (2,)}
    golden = (-0.962481, 0.679013, -0.195563, 0.809470)


class TestSeparableASPPWithGroupNorm(NeckTester):
    part = AtrousPyramidNeck
    options = {"channels": 96, "rates": (1, 2), "separable": True, "norm": "group", "dropout": 0.0}
    golden = (1.512475, 0.000000, 0.252669, 1.606352)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 24, 16),))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_trains_on_one_image(norm):
    neck = TestASPP().build(norm=norm, channels=64).train()
    out = neck(TestASPP().maps((64, 96), batch=1), Canvas((64, 96))).maps[-1]
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(parameter.grad.any() for parameter in neck.parameters())


def test_padding_does_not_enter_the_average():
    branch = TestASPP().build().pyramid.pooled
    maps = torch.randn(2, 24, 5, 6)
    mask = torch.ones(2, 5, 6, dtype=torch.bool)
    mask[1, 3:] = False
    changed = maps.masked_fill(~mask[:, None], float("inf"))
    torch.testing.assert_close(branch(changed, mask), branch(maps, mask))
    torch.testing.assert_close(branch(maps, mask)[1:, ..., :3, :], branch(maps[1:, ..., :3, :], None))


@pytest.mark.parity
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(17, 11), (40, 23)])
def test_equals_torchvision(size, training):
    reference = randomise_weights(ASPP(24, (3, 6, 9), 16)).double()
    pyramid = FeaturePyramid((Level("c5", 24, 16),))
    neck = AtrousPyramidNeck(pyramid, channels=16, rates=(3, 6, 9), dropout=0.0).double()
    # The order of weights is one: 1x1, the atrous ones, the pooled one, the projection.
    ours = neck.pyramid.state_dict()
    ours = dict(zip(ours, reference.state_dict().values(), strict=True))
    neck.pyramid.load_state_dict(ours)
    reference.project[3].p = 0.0
    maps = torch.randn(2, 24, *size, dtype=torch.float64)
    theirs, given = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    expected = reference.train(training)(theirs)
    out = neck.train(training)(FeatureMaps((given,)), Canvas((size[0] * 16, size[1] * 16))).maps[0]
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(out)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(given.grad, theirs.grad, rtol=1e-8, atol=1e-10)
    for name, tensor in zip(neck.pyramid.state_dict(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(neck.pyramid.state_dict()[name], tensor, msg=name)
