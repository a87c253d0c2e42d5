"""The tests that every neck passes. A concrete test derives from `NeckTester` and defines `part`, `options` and
`golden`."""

from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from tests.part_tester import PartTester


class NeckTester(PartTester):
    def call(self, part: nn.Module, maps: FeatureMaps, canvas: Canvas) -> list[Tensor]:
        out = part(maps, canvas)
        assert isinstance(out, FeatureMaps)
        return [*out.maps, *out.extras.values()]

    def test_output_has_the_published_levels(self) -> None:
        neck = self.build()
        for size in self.canvas_sizes:
            out = neck(self.maps(size), Canvas(size))
            assert [tensor.shape[1] for tensor in out.maps] == list(neck.features.channels)
            published = {name: level.channels for name, level in neck.features.extras.items()}
            assert {name: tensor.shape[1] for name, tensor in out.extras.items()} == published
            prefix_tokens = [0 if tokens is None else tokens.shape[1] for tokens in out.prefix_tokens]
            assert (prefix_tokens or [0] * len(out.maps)) == [level.prefix_tokens for level in neck.features.levels]

    def test_levels_run_fine_to_coarse_under_distinct_names(self) -> None:
        neck = self.build()
        strides = neck.features.strides
        assert list(strides) == sorted(strides)
        assert len(set(neck.features.names)) == len(strides)
        heights = [tensor.shape[-2] for tensor in neck(self.maps((64, 64)), Canvas((64, 64))).maps]
        assert heights == sorted(heights, reverse=True)

    def test_other_extras_are_passed_through(self) -> None:
        pyramid = self.pyramid()
        extras = MappingProxyType({**pyramid.extras, "memory": Level("memory", 5, 16)})
        neck = self.part(FeaturePyramid(pyramid.levels, extras), **self.options).eval()
        maps = self.maps((64, 64))
        memory = torch.randn(2, 5, 4, 4)
        out = neck(replace(maps, extras={**maps.extras, "memory": memory}), Canvas((64, 64)))
        assert out.extras["memory"] is memory
        assert neck.features.extras["memory"].channels == 5

    def test_requires_extras_of_its_consumer_that_it_does_not_make(self) -> None:
        """Extras that this neck does not make are required from the part before it."""
        assert "memory" in self.part.needs(Requirement(last=1, extras=("memory",))).extras

    def test_without_a_consumer_it_has_its_own_requirements(self) -> None:
        needs = self.part.needs(None)
        assert isinstance(needs, Requirement)
        assert needs.strides or needs.last or needs.spread
