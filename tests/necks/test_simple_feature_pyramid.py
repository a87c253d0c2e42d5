"""SimpleFeaturePyramid: the neck's contract, strides by octave, the layers of the paper."""

import pytest
import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import RecipeError
from backbonekit.necks.simple_feature_pyramid import SimpleFeaturePyramid
from tests.fixed_weights import randomise_weights
from tests.necks.neck_tester import NeckTester


class TestSimpleFeaturePyramid(NeckTester):
    part = SimpleFeaturePyramid
    options = {"channels": 16}
    golden = (0.945560, 0.838038, -0.403213, -0.831563)

    def pyramid(self):
        return FeaturePyramid((Level("block.11", 24, 16, prefix_tokens=1),))


class TestSimpleFeaturePyramidOfLargePatches(NeckTester):
    part = SimpleFeaturePyramid
    options = {"channels": 8, "strides": (2, 64), "norm": "none"}
    golden = (0.115013, -0.151546, 0.190733, -0.050810)

    def pyramid(self):
        return FeaturePyramid((Level("block.5", 20, 14), Level("block.11", 20, 14)))


@pytest.mark.parametrize(
    ("stride", "strides", "published"),
    [
        (16, (4, 8, 16, 32), (4, 8, 16, 32)),
        (14, (4, 8, 16, 32), (3.5, 7, 14, 28)),
        (8, (8, 16, 32), (8, 16, 32)),
        (32, (4, 64), (4, 64)),
        (12, (4, 8), (3, 6)),  # the octave of 12 is that of 16
    ],
)
def test_strides_are_a_power_of_two_away_from_the_map(stride, strides, published):
    neck = SimpleFeaturePyramid(FeaturePyramid((Level("block.1", 16, stride),)), channels=4, strides=strides)
    assert neck.features.strides == published
    size = (96, 192)
    maps = FeatureMaps((torch.randn(1, 16, size[0] // stride, size[1] // stride),))
    for given, level in zip(neck(maps, Canvas(size)).maps, neck.features.levels, strict=True):
        source = maps.maps[0].shape[-2]
        assert given.shape[-2] == -(-source * stride // level.stride)


def test_requires_only_the_deepest_map():
    assert SimpleFeaturePyramid.needs(None) == Requirement(last=1)
    assert SimpleFeaturePyramid.needs(Requirement(strides=(4, 8))) == Requirement(last=1)


@pytest.mark.parametrize("strides", [(), (8, 4), (8, 8), (4, 5)])
def test_refuses_strides_that_do_not_ascend(strides):
    with pytest.raises(RecipeError, match="ascending"):
        SimpleFeaturePyramid(FeaturePyramid((Level("block.1", 16, 16),)), strides=strides)


def test_layers_are_those_of_the_paper():
    """Against the paper's layers put together by hand, at sizes that pooling divides."""

    def convolved(in_channels: int) -> list[nn.Module]:
        one = nn.Conv2d(in_channels, 16, 1, bias=False)
        three = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        return [one, ChannelNorm(16), three, ChannelNorm(16)]

    up, again = nn.ConvTranspose2d(24, 12, 2, 2), nn.ConvTranspose2d(12, 6, 2, 2)
    paper = nn.ModuleList(
        [
            nn.Sequential(up, ChannelNorm(12), nn.GELU(), again, *convolved(6)),
            nn.Sequential(nn.ConvTranspose2d(24, 12, 2, 2), *convolved(12)),
            nn.Sequential(*convolved(24)),
            nn.Sequential(nn.MaxPool2d(2, 2), *convolved(24)),
        ]
    )
    neck = SimpleFeaturePyramid(FeaturePyramid((Level("block.1", 24, 16),)), channels=16).eval()
    randomise_weights(paper)
    for index, reference in enumerate(paper):
        # ours: scaling layers of all levels, then output layers of all levels
        ours = [*neck.scale[index].parameters(), *neck.output[index].parameters()]
        theirs = list(reference.parameters())
        assert [parameter.shape for parameter in ours] == [parameter.shape for parameter in theirs]
        with torch.no_grad():
            for parameter, value in zip(ours, theirs, strict=True):
                parameter.copy_(value)
    source = torch.randn(2, 24, 8, 12)
    with torch.no_grad():
        for given, reference in zip(neck(FeatureMaps((source,)), Canvas((128, 192))).maps, paper, strict=True):
            torch.testing.assert_close(given, reference(source), rtol=1e-4, atol=1e-5)


class ChannelNorm(nn.Module):
    """Layer norm over channels, written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        centred = maps - maps.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]
