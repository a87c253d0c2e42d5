"""The tests that every backbone passes. A concrete test derives from `BackboneTester` and defines `source`
and `name` or `config`."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from backbonekit.backbones.hf import blueprint as hf_source
from backbonekit.backbones.timm import blueprint as timm_source
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.roles import Backbone
from backbonekit.errors import ContractError
from backbonekit.weights.checkpoint import checkpoint_of
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import fill
from backbonekit.weights.private_random import seeded
from tests.fixed_weights import randomise_weights


class MapsOnly(nn.Module):
    """A backbone with plain tensors as inputs and outputs, for torch.compile and torch.export."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(pixel_values)
        return (*maps.maps, *(tokens for tokens in maps.prefix_tokens if tokens is not None))


class BackboneTester:
    """`sizes`: (height, width) of images; tests of a single size use the first.

    `exports`: whether torch.export is tested, which takes long. `recomputes`: whether it has gradient checkpointing.
    """

    source: ClassVar[Literal["hf", "timm"]]
    name: ClassVar[str | None] = None
    config: ClassVar[Mapping[str, Any] | None] = None
    args: ClassVar[Mapping[str, Any]] = {}
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((64, 64), (33, 47))
    exports: ClassVar[bool] = False
    recomputes: ClassVar[bool] = True

    # tools

    def blueprint(self, in_channels: int = 3, **args: Any) -> Any:
        source = hf_source if self.source == "hf" else timm_source
        return source.blueprint(
            self.name, config=self.config, revision=None, in_channels=in_channels, args={**self.args, **args}
        )

    def every_index(self, blueprint: Any) -> list[int]:
        return [index for index in range(len(blueprint.levels)) if index not in blueprint.forbidden]

    def build(self, in_channels: int = 3, indices: list[int] | None = None) -> Any:
        blueprint = self.blueprint(in_channels)
        return randomise_weights(blueprint.construct(indices or self.every_index(blueprint))).eval()

    def image(self, size: tuple[int, int] | None = None, channels: int = 3, batch: int = 2) -> Tensor:
        return torch.randn(batch, channels, *(size or self.sizes[0]))

    # tests

    def test_is_a_backbone_in_eval_mode(self) -> None:
        blueprint = self.blueprint()
        backbone = blueprint.construct(blueprint.default_indices)
        assert isinstance(backbone, Backbone)
        assert not any(module.training for module in backbone.modules())
        assert backbone.stage_names == tuple(level.name for level in blueprint.levels)
        assert len(set(backbone.stage_names)) == len(backbone.stage_names)
        assert all(name.startswith(("body.", "norms.")) for name in backbone.state_dict())

    def test_feature_maps_have_the_published_levels(self) -> None:
        backbone = self.build()
        levels = backbone.features.levels
        assert [level.stride for level in levels] == sorted(level.stride for level in levels)
        for size in self.sizes:
            with torch.no_grad():
                out = backbone(self.image(size))
            assert isinstance(out, FeatureMaps)
            for level, feature_map in zip(levels, out.maps, strict=True):
                assert feature_map.shape[1] == level.channels
                assert feature_map.isfinite().all()
                for side, length in zip(size, feature_map.shape[-2:], strict=True):
                    assert side // level.stride <= length <= -(-side // level.stride)
            tokens = [0 if prefix is None else prefix.shape[1] for prefix in out.prefix_tokens] or [0] * len(levels)
            assert tokens == [level.prefix_tokens for level in levels]

    @pytest.mark.parametrize("channels", [1, 5])
    def test_takes_other_numbers_of_channels(self, channels: int) -> None:
        backbone = self.build(channels)
        with torch.no_grad():
            maps = backbone(self.image(channels=channels, batch=1)).maps
        assert maps[0].isfinite().all()
        assert backbone.features.channels == tuple(feature_map.shape[1] for feature_map in maps)
        assert len(self.blueprint(channels).processing.mean) == channels

    def test_gradient_reaches_every_parameter(self) -> None:
        blueprint = self.blueprint()
        every = self.every_index(blueprint)
        for indices in (every, every[-1:], every[:1]):
            backbone = randomise_weights(blueprint.construct(indices))
            # The image requires one too: where the first map is the image itself, no parameter may be used.
            outputs = MapsOnly(backbone)(self.image().requires_grad_())
            torch.stack([(each * torch.randn_like(each)).sum() for each in outputs]).sum().backward()
            idle = [
                name
                for name, parameter in backbone.named_parameters()
                if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
            ]
            assert not idle, f"no gradient in {idle} with {indices}"

    def test_eval_is_deterministic(self) -> None:
        backbone, pixel_values = self.build(), self.image()
        with torch.no_grad():
            once, again = backbone(pixel_values).maps, backbone(pixel_values).maps
        assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))

    def test_stages_behind_the_last_index_are_cut(self) -> None:
        blueprint = self.blueprint()
        first, *_, last = self.every_index(blueprint)
        whole, cut = blueprint.construct([first, last]), blueprint.construct([first])
        assert set(cut.state_dict()) < set(whole.state_dict())
        with pytest.raises(ContractError, match="was not built"):
            cut.out_indices = [last]
        assert cut.out_indices == (first,)
        cut.load_state_dict({name: whole.state_dict()[name] for name in cut.state_dict()})
        pixel_values = self.image()
        with torch.no_grad():
            assert torch.equal(cut(pixel_values).maps[0], whole(pixel_values).maps[0])

    def test_indices_can_be_set_among_the_built_stages(self) -> None:
        backbone, pixel_values = self.build(), self.image()
        every = backbone.out_indices
        with torch.no_grad():
            expected = backbone(pixel_values).maps
            backbone.out_indices = [every[1]]
            given = backbone(pixel_values).maps
        assert [feature_map.shape for feature_map in given] == [expected[1].shape]
        torch.testing.assert_close(given[0], expected[1])
        assert backbone.features.names == (backbone.stage_names[every[1]],)
        for wrong in ([], [every[1], every[0]], [every[0], every[0]], [999], ["x"]):
            with pytest.raises(ContractError):
                backbone.out_indices = wrong
        assert backbone.out_indices == (every[1],)

    def test_state_dict_round_trip(self) -> None:
        backbone, pixel_values = self.build(), self.image()
        other = self.blueprint().construct(backbone.out_indices)
        other.load_state_dict(backbone.state_dict(), strict=True)
        with torch.no_grad():
            for one, copy in zip(backbone(pixel_values).maps, other(pixel_values).maps, strict=True):
                assert torch.equal(one, copy)

    def test_constructs_from_a_seed_without_weights_and_on_meta(self) -> None:
        blueprint = self.blueprint()
        indices = self.every_index(blueprint)
        state = torch.get_rng_state()
        with seeded(3):
            one = blueprint.construct(indices)
        with seeded(3):
            same = blueprint.construct(indices)
        assert torch.equal(torch.get_rng_state(), state)
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, same.state_dict()[name]), name
        randomise_weights(one)
        with without_weights():
            empty = blueprint.construct(indices)
        fill(empty, checkpoint_of(one.state_dict(), origin="test"), adapt=blueprint.adapt)
        finish(empty)
        pixel_values = self.image()
        with torch.no_grad():
            assert torch.equal(empty(pixel_values).maps[-1], one(pixel_values).maps[-1])
        with torch.device("meta"):
            assert all(tensor.is_meta for tensor in blueprint.construct(indices).state_dict().values())

    def test_survives_copying_and_pickling(self) -> None:
        backbone, pixel_values = self.build(), self.image()
        copies = [copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))]
        with torch.no_grad():
            for other in copies:
                assert torch.equal(other(pixel_values).maps[0], backbone(pixel_values).maps[0])

    def test_images_with_other_channels_are_refused(self) -> None:
        with pytest.raises(ContractError, match=r"takes \[batch, 3, height, width\], got \[2, 4, "):
            self.build()(self.image(channels=4))

    def test_gradient_checkpointing_changes_no_gradient(self) -> None:
        if not self.recomputes:
            with pytest.raises(ContractError, match="checkpointing"):
                self.build().set_gradient_checkpointing()
            return
        backbone, pixel_values = self.build(), self.image()
        # Batch norms stay in eval mode: a second forward pass in training would update their statistics again.
        for module in backbone.modules():
            if not isinstance(module, nn.modules.batchnorm._BatchNorm | nn.Dropout):
                module.training = type(module).__name__ != "DropPath"
        seen: list[dict[str, Tensor]] = []
        for enabled in (False, True):
            backbone.set_gradient_checkpointing(enabled)
            backbone.zero_grad()
            backbone(pixel_values).maps[-1].square().mean().backward()
            seen.append({name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None})
        for name, gradient in seen[0].items():
            torch.testing.assert_close(seen[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)

    def test_compiles_as_one_graph(self) -> None:
        torch._dynamo.reset()
        runner, pixel_values = MapsOnly(self.build()), self.image()
        with torch.no_grad():
            compiled = torch.compile(runner, fullgraph=True, backend="eager")(pixel_values)
            for given, expected in zip(compiled, runner(pixel_values), strict=True):
                torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    def test_exports(self) -> None:
        if not self.exports:
            pytest.skip("exporting takes long: one class of each kind of architecture is enough")
        runner, pixel_values = MapsOnly(self.build()), self.image()
        program = torch.export.export(runner, (pixel_values,))
        other = self.image()
        with torch.no_grad():
            for given, expected in zip(program.module()(other), runner(other), strict=True):
                torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
