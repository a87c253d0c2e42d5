"""TransformerEncoder: the neck's contract, padding, levels that pass through."""

from typing import ClassVar

import torch

from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.necks.transformer_encoder import TransformerEncoder
from tests.necks.neck_tester import NeckTester

SMALL = {"channels": 16, "num_layers": 2, "num_heads": 4, "feedforward_channels": 24, "dropout": 0.0}


class TestTransformerEncoder(NeckTester):
    part = TransformerEncoder
    options: ClassVar = SMALL
    golden = (-0.350539, -0.826510, -0.186369, 0.138104)

    def call(self, part, maps, canvas):
        # The encoded level alone: the finer ones are what came in.
        return [part(maps, canvas).maps[-1]]

    def test_gradient_reaches_every_parameter(self):
        neck = self.build().double().train()
        maps = FeatureMaps(tuple(level.double() for level in self.maps((131, 87)).maps))
        encoded = neck(maps, Canvas((131, 87))).maps[-1]
        (encoded * torch.randn_like(encoded)).sum().backward()
        size = {name: parameter.grad.abs().max().item() for name, parameter in neck.named_parameters()}
        # A softmax does not depend on a constant that is added to all keys.
        idle = {name for name in size if name.endswith("attention.key.bias")}
        assert all(size[name] < 1e-12 for name in idle)
        assert all(size[name] > 1e-6 for name in size.keys() - idle)

    def test_only_the_deepest_level_changes(self):
        neck, maps = self.build(), self.maps((64, 64))
        out = neck(maps, Canvas((64, 64)))
        assert all(one is other for one, other in zip(out.maps[:-1], maps.maps[:-1], strict=True))
        assert out.maps[-1].shape == (2, 16, 2, 2)

    def test_padding_is_not_read(self):
        neck, maps = self.build(), self.maps((128, 96))
        mask = torch.ones(2, 128, 96, dtype=torch.bool)
        mask[1, 64:], mask[1, :, 32:] = False, False
        expected = neck(maps, Canvas((128, 96), mask)).maps[-1]
        changed = maps.maps[-1].clone()
        changed[1, :, 2:], changed[1, :, :, 1:] = 50.0, -50.0
        given = neck(FeatureMaps((*maps.maps[:-1], changed)), Canvas((128, 96), mask)).maps[-1]
        assert torch.equal(given[0], expected[0])
        assert torch.equal(given[1, :, :2, :1], expected[1, :, :2, :1])

    def test_always_requires_the_deepest_level(self):
        assert TransformerEncoder.needs(None) == Requirement(last=1)
        assert TransformerEncoder.needs(Requirement(strides=(4, 8))) == Requirement(strides=(4, 8), last=1)
