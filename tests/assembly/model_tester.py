"""The tests that every composed model passes. A concrete test derives from `ModelTester` and defines `recipe`, `maps`
and, where the defaults do not fit, `exempt`, `size` and `swap`."""

import copy
import random
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

import numpy
import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import backbonekit as bk
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.predictions import ModelOutput
from backbonekit.contract.targets import Target
from backbonekit.errors import RecipeError
from tests.fixed_weights import randomise_weights


class ModelTester:
    """`maps`: (channels, nominal stride) of each feature map that the model returns.

    `out_indices`: what the saved recipe must record. `exempt`: fnmatch patterns of parameters whose gradient is zero
    and why; a parameter without any gradient is never exempt, since DistributedDataParallel would wait for it.
    `swap`: overrides that put another backbone under the same parts.
    """

    recipe: ClassVar[Mapping[str, Any]]
    maps: ClassVar[tuple[tuple[int, float], ...]]
    out_indices: ClassVar[tuple[int, ...]]
    exempt: ClassVar[dict[str, str]] = {}
    size: ClassVar[tuple[int, int]] = (64, 96)
    swap: ClassVar[tuple[str, ...]] = ("backbone=timm/resnet14t", "backbone.args={channels: [8,16,32,48]}")
    has_head: ClassVar[bool] = True
    data_dependent: ClassVar[str] = ""  # the reason why the whole model cannot be compiled, if so

    # tools

    def build(self) -> ComposedModel:
        """In eval mode, with random weights with which every parameter has a gradient."""
        model = bk.build_model(self.recipe)
        randomise_weights(model)
        return model

    def images(self, batch: int = 2, size: tuple[int, int] | None = None) -> Tensor:
        return torch.randn(batch, 3, *(size or self.size))

    def targets(self, batch: int = 2, size: tuple[int, int] | None = None) -> list[Target]:
        """Targets with every key that some head reads: two objects with masks and boxes, a class and a depth for each
        pixel, some of them unknown, a person with five keypoints, a class of the image."""
        height, width = size or self.size
        targets: list[Target] = []
        for index in range(batch):
            masks = torch.zeros(2, height, width, dtype=torch.bool)
            masks[0, : height // 2], masks[1, height // 2 :, : width // 2] = True, True
            segmentation = torch.randint(0, 4, (height, width))
            segmentation[:2] = 255
            depth = torch.rand(height, width) + 0.5
            depth[:2] = torch.nan
            keypoints = torch.rand(1, 5, 3) * torch.tensor([width, height, 0.0])
            keypoints[..., 2] = torch.tensor([2.0, 2, 1, 1, 0])
            targets.append(
                {
                    "labels": torch.tensor([index % 4, 3]),
                    "boxes": torch.tensor(
                        [[0.0, 0, width, height // 2], [0, height // 2, width // 2, height]], dtype=torch.float32
                    ),
                    "masks": masks,
                    "segmentation": segmentation,
                    "depth": depth,
                    "keypoints": keypoints,
                    "class": torch.tensor(index % 4),
                }
            )
        return targets

    def leaves(self, output: ModelOutput) -> list[Tensor]:
        return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]

    def run(self, model: nn.Module, *inputs: Any) -> list[Tensor]:
        with torch.no_grad():
            return self.leaves(model(*inputs))

    def loss(self, output: ModelOutput) -> Tensor:
        """The model's loss; for a feature extractor, a random sum of all feature maps."""
        if output.loss is not None:
            return output.loss
        return torch.stack([(level * torch.randn_like(level)).sum() for level in output.feature_maps]).sum()

    def without_gradient(self, model: nn.Module) -> list[str]:
        return [
            name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
        ]

    def skip_where_data_dependent(self) -> None:
        if self.data_dependent:
            pytest.skip(self.data_dependent)

    # what comes out

    def test_feature_maps_are_those_of_the_recipe(self) -> None:
        model = self.build()
        levels = model.features.levels
        assert tuple((level.channels, level.stride) for level in levels) == self.maps
        assert model.recipe.backbone.out_indices == self.out_indices == model.backbone.out_indices
        for size in (self.size, (131, 87), (33, 47)):
            with torch.no_grad():
                output = model(self.images(size=size))
            assert isinstance(output.feature_maps, tuple)
            for tensor, level in zip(output.feature_maps, levels, strict=True):
                height, width = tensor.shape[-2:]
                assert tensor.shape[:2] == (2, level.channels)
                assert abs(height - size[0] / level.stride) <= 1
                assert abs(width - size[1] / level.stride) <= 1
            assert all(leaf.isfinite().all() for leaf in self.leaves(output))
            assert (output.predictions is not None) == self.has_head
            assert output.loss is None
            assert output.losses is None

    def test_starts_in_eval_mode_and_predicts_the_same_twice(self) -> None:
        model = self.build()
        assert not any(module.training for module in model.modules())
        pixel_values = self.images()
        for once, again in zip(self.run(model, pixel_values), self.run(model, pixel_values), strict=True):
            assert torch.equal(once, again)

    def test_a_seed_decides_the_weights_and_no_other_random_state_moves(self) -> None:
        def states() -> tuple[Any, ...]:
            return torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist()

        before = states()
        one, same, other = (bk.build_model(self.recipe, seed=seed) for seed in (3, 3, 4))
        assert states() == before
        assert _differing(one, same) == set()
        drawn = {name for name, tensor in one.state_dict().items() if tensor.ndim > 1}
        assert len(_differing(one, other) & drawn) > len(drawn) / 2

    def test_prediction_does_not_depend_on_batch_mates(self) -> None:
        model, pixel_values = self.build(), self.images(batch=3)
        mask = torch.ones(3, *self.size, dtype=torch.bool)
        mask[0, 40:], mask[1, :, 50:] = False, False
        alone, together = self.run(model, pixel_values[:1], mask[:1]), self.run(model, pixel_values, mask)
        for one, many in zip(alone, together, strict=True):
            # Box corners near 0 are differences of larger numbers: 1.1e-4 pixels were measured among values up to 64.
            torch.testing.assert_close(many[:1], one, rtol=1e-4, atol=max(1e-4, 1e-5 * one.abs().amax().item()))

    def test_an_image_of_one_pixel_is_predicted(self) -> None:
        model = self.build()
        image = numpy.full((1, 1, 3), 128, dtype=numpy.uint8)
        if not self.has_head:
            with pytest.raises(RecipeError, match="no head, so it predicts nothing"):
                model.predict(image)
            return
        for result in pytree.tree_leaves(model.predict([image])):
            grids = [getattr(result, name, None) for name in ("segmentation", "masks")]
            assert all(grid.shape[-2:] == (1, 1) for grid in grids if grid is not None)

    # losses

    def test_loss_is_the_sum_of_the_losses_in_both_modes(self) -> None:
        model = self.build()
        for training in (False, True):
            output = model.train(training)(self.images(), targets=self.targets())
            if not self.has_head:
                assert output.loss is None
                assert output.losses is None
                continue
            assert output.losses
            assert all(term.ndim == 0 and term.isfinite() for term in output.losses.values())
            torch.testing.assert_close(output.loss, torch.stack(list(output.losses.values())).sum())
            assert output.loss > 0

    def test_losses_read_no_padding(self) -> None:
        """Other targets in the padding, and the same loss."""
        model, pixel_values = self.build(), self.images()
        mask = torch.ones(2, *self.size, dtype=torch.bool)
        mask[:, 40:] = False
        one, other = self.targets(), self.targets()
        for target, twin in zip(one, other, strict=True):
            twin["segmentation"] = target["segmentation"].clone()
            twin["segmentation"][40:] = 1
            twin["masks"][:, 40:] = False
            twin["depth"] = target["depth"].clone()
            twin["depth"][40:] = 9.0
        with torch.no_grad():
            torch.manual_seed(0)  # some losses draw a sample
            expected = model(pixel_values, mask, one).losses
            torch.manual_seed(0)
            given = model(pixel_values, mask, other).losses
        assert (expected is None) == (not self.has_head)
        for name, term in (expected or {}).items():
            torch.testing.assert_close(given[name], term, msg=name)

    def test_empty_targets_keep_the_graph_connected(self) -> None:
        """Targets without objects, and beside one of either kind one without any key."""
        if not self.has_head:
            pytest.skip("without a head there is no loss")
        model = self.build().train()
        full = self.targets()
        nothing: Target = {
            "labels": torch.zeros(0, dtype=torch.int64),
            "boxes": torch.zeros(0, 4),
            "masks": torch.zeros(0, *self.size).bool(),
            "segmentation": torch.full(self.size, 255),
            "depth": torch.full(self.size, torch.nan),
            "keypoints": full[0]["keypoints"][:0],
            "class": full[0]["class"],
        }
        for targets in ([nothing, nothing], [full[0], {}], [nothing, full[1]], [{}, full[1]]):
            model.zero_grad()
            output = model(self.images(), targets=targets)
            assert output.loss.isfinite()
            output.loss.backward()
            assert self.without_gradient(model) == []
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_gradient_reaches_every_parameter(self) -> None:
        # In double precision, where rounding noise is too small to be taken for a gradient.
        model = self.build().double().train()
        self.loss(model(self.images().double(), targets=self.targets())).backward()
        assert self.without_gradient(model) == []
        gradients = {name: p.grad.abs().max().item() for name, p in model.named_parameters() if p.requires_grad}
        idle = {name for name, largest in gradients.items() if largest < 1e-12 * max(gradients.values())}
        assert not {name for name in idle if not any(fnmatchcase(name, pattern) for pattern in self.exempt)}
        needless = [pattern for pattern in self.exempt if not any(fnmatchcase(name, pattern) for name in idle)]
        assert not needless, "these get a gradient after all"

    # compilers, exporters, precisions

    def test_compiles_as_one_graph(self) -> None:
        self.skip_where_data_dependent()
        torch._dynamo.reset()
        model, pixel_values = self.build(), self.images()
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for given, expected in zip(self.run(compiled, pixel_values), self.run(model, pixel_values), strict=True):
            torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    # dynamo reads `.grad` of a tensor that is no leaf. It silences this warning by replacing `warnings.showwarning`,
    # which is never called where warnings are errors.
    @pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
    def test_training_on_padded_images_breaks_the_graph_once_at_most(self) -> None:
        self.skip_where_data_dependent()
        torch._dynamo.reset()
        mask = torch.ones(2, *self.size, dtype=torch.bool)
        mask[0, 40:] = False
        explained = torch._dynamo.explain(self.build().train())(self.images(), mask, self.targets())
        assert explained.graph_break_count <= 1, explained.break_reasons

    def test_exports_with_a_dynamic_batch(self) -> None:
        self.skip_where_data_dependent()
        model, mask = self.build(), torch.ones(3, *self.size, dtype=torch.bool)
        mask[0, 40:] = False
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(
            model, (self.images(3), mask), dynamic_shapes=({0: batch}, {0: batch}), strict=False
        ).module()
        for count in (1, 2, 3):
            pixel_values = self.images(count)
            with torch.no_grad():
                given, expected = program(pixel_values, mask[:count]), model(pixel_values, mask[:count])
            assert pytree.tree_structure(given) == pytree.tree_structure(expected)
            assert type(given) is ModelOutput
            assert type(given.predictions) is type(expected.predictions)
            for one, other in zip(self.leaves(given), self.leaves(expected), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    def test_forward_never_waits_for_a_value(self) -> None:
        """Fake tensors have no values: `.item()` or `if tensor` raises."""
        self.skip_where_data_dependent()
        model = self.build()
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            pixel_values = mode.from_tensor(self.images())
            output = model(pixel_values, torch.ones(2, *self.size, dtype=torch.bool))
        assert output.feature_maps[0].shape[0] == 2

    def test_bfloat16_is_finite(self) -> None:
        model = self.build().bfloat16()
        output = model(self.images().bfloat16(), targets=self.targets())
        assert all(leaf.isfinite().all() for leaf in self.leaves(output))
        assert output.feature_maps[0].dtype == torch.bfloat16

    def test_can_be_copied(self) -> None:
        model, pixel_values = self.build(), self.images()
        for given, expected in zip(
            self.run(copy.deepcopy(model), pixel_values), self.run(model, pixel_values), strict=True
        ):
            assert torch.equal(given, expected)

    # saving

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        model, pixel_values = self.build(), self.images()
        loaded = bk.load_model(model.save_pretrained(tmp_path / "m1"), seed=9)
        assert _differing(model, loaded) == set()
        assert loaded.recipe == model.recipe
        assert loaded.processor.processing == model.processor.processing
        assert not loaded.training
        assert loaded.weight_report is not None
        assert loaded.weight_report.pretrained_share == 1
        for given, expected in zip(self.run(loaded, pixel_values), self.run(model, pixel_values), strict=True):
            assert torch.equal(given, expected)

    def test_the_saved_recipe_builds_alone(self, tmp_path: Path) -> None:
        model = bk.build_model(self.recipe)
        again = bk.build_model(model.save_pretrained(tmp_path / "m1") / "recipe.yaml")
        assert again.recipe == model.recipe
        assert _differing(model, again) == set()

    def test_another_backbone_keeps_the_other_weights(self, tmp_path: Path) -> None:
        model = self.build()
        swapped = bk.load_model(model.save_pretrained(tmp_path / "m1"), self.swap)
        assert swapped.weight_report is not None
        sources = {source.part: source for source in swapped.weight_report.sources}
        assert sources["backbone"].origin == "random, seed 0"
        assert sources["backbone"].loaded == 0
        saved = model.state_dict()
        moved = _moved_parts(model, swapped)
        assert set(sources) - {"backbone"} >= set(moved)
        assert any(part.startswith("head") for part in moved) == self.has_head
        for part, before in moved.items():
            source = sources[part]
            assert source.origin == str(tmp_path / "m1")
            assert source.loaded > 0
            for name, tensor in _under(swapped, part).items():
                old = saved.get(f"{before}.{name}")
                if name in source.fresh:
                    assert old is None or old.shape != tensor.shape, name
                else:
                    assert torch.equal(tensor, old), name
        assert self.run(swapped, self.images())[0].isfinite().all()


def _differing(one: nn.Module, other: nn.Module) -> set[str]:
    first, second = one.state_dict(), other.state_dict()
    assert list(first) == list(second)
    return {name for name in first if not torch.equal(first[name], second[name])}


def _under(model: nn.Module, part: str) -> dict[str, Tensor]:
    return {name[len(part) + 1 :]: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{part}.")}


def _moved_parts(model: ComposedModel, swapped: ComposedModel) -> dict[str, str]:
    """For each part with parameters that both models have: its path now, its path before."""
    before = {name: path for path, name in _parts(model)}
    return {path: before[name] for path, name in _parts(swapped) if name in before and _under(swapped, path)}


def _parts(model: ComposedModel) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Paths, each with what identifies the part: task, class, and how many of that class come before it."""
    for task in model.tasks:
        necks, head, _ = model.tasks[task].modules(model)
        dot, seen = f".{task}" if task else "", []
        for position, neck in enumerate(necks):
            yield f"neck{dot}.{position}", (task, type(neck).__name__, seen.count(type(neck)))
            seen.append(type(neck))
        if head is not None:
            yield f"head{dot}", (task, type(head).__name__, 0)
