"""The tests that every neck and head passes: each is built from a feature pyramid and run on feature maps."""

import inspect
from math import ceil
from typing import Any, ClassVar

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from tests.fixed_weights import fixed_noise, fixed_weights, randomise_weights


class Runner(nn.Module):
    """A part with plain tensors as inputs and outputs, for torch.compile and torch.export."""

    def __init__(self, tester: "PartTester", part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.call = tester.call
        self.extras = tuple(tester.pyramid().extras)

    def forward(
        self,
        pixel_values: Tensor,
        maps: tuple[Tensor, ...],
        extras: tuple[Tensor, ...],
        prefix_tokens: tuple[Tensor | None, ...],
    ) -> list[Tensor]:
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]))
        named = dict(zip(self.extras, extras, strict=True))
        return self.call(self.part, FeatureMaps(maps, named, prefix_tokens), canvas)


class PartTester:
    """A concrete test defines `part` and, where the defaults do not fit, `options`, `pyramid` and `canvas_sizes`.

    `golden`: four numbers, spread over the first tensor of the prediction on `fixed_noise` with `fixed_weights`, at the
    first canvas size, in eval mode. Made by `python -m tests.golden tests.MODULE.CLASS`.
    """

    part: ClassVar[type]
    options: ClassVar[dict[str, Any]] = {}
    canvas_sizes: ClassVar[tuple[tuple[int, int], ...]] = ((64, 64), (33, 47), (1, 1))
    golden: ClassVar[tuple[float, ...]]

    # what a concrete test may replace

    def pyramid(self) -> FeaturePyramid:
        """The pyramid that the part is built from: four levels of a small convolutional backbone."""
        return FeaturePyramid(
            tuple(Level(f"stage{index + 1}", 8 * 2**index, stride) for index, stride in enumerate((4, 8, 16, 32)))
        )

    def call(self, part: nn.Module, maps: FeatureMaps, canvas: Canvas) -> list[Tensor]:
        """Runs the part; returns the tensors of its output in a fixed order."""
        raise NotImplementedError

    # tools

    def build(self, **changes: Any) -> nn.Module:
        return randomise_weights(self.part(self.pyramid(), **{**self.options, **changes})).eval()

    def maps(self, size: tuple[int, int], batch: int = 2, *, grad: bool = False, noise: Any = None) -> FeatureMaps:
        """Noise of the pyramid's shapes on a canvas of this size; sizes are rounded up, as strided convolutions do."""
        pyramid = self.pyramid()
        noise = noise or (lambda *shape: torch.randn(*shape))

        def of(level: Level) -> Tensor:
            height, width = (ceil(side / level.stride) for side in size)
            return noise(batch, level.channels, height, width).requires_grad_(grad)

        def tokens_of(level: Level) -> Tensor | None:
            return (
                noise(batch, level.prefix_tokens, level.channels).requires_grad_(grad) if level.prefix_tokens else None
            )

        tokens = tuple(tokens_of(level) for level in pyramid.levels)
        return FeatureMaps(
            maps=tuple(of(level) for level in pyramid.levels),
            extras={name: of(level) for name, level in pyramid.extras.items()},
            prefix_tokens=tokens if any(token is not None for token in tokens) else (),
        )

    def run(
        self, part: nn.Module, maps: FeatureMaps, size: tuple[int, int], mask: Tensor | None = None
    ) -> list[Tensor]:
        return self.call(part, maps, Canvas(size, mask))

    def _runner_inputs(self, size: tuple[int, int], batch: int = 2) -> tuple[Any, ...]:
        maps = self.maps(size, batch)
        return torch.zeros(batch, 3, *size), maps.maps, tuple(maps.extras.values()), maps.prefix_tokens

    # tests

    def test_options_of_needs_are_options_of_the_constructor(self) -> None:
        constructor = inspect.signature(self.part.__init__).parameters
        for name, option in inspect.signature(self.part.needs).parameters.items():
            if option.kind is option.KEYWORD_ONLY:
                assert name in constructor, f"needs() takes {name}, the constructor does not"
                assert option.default == constructor[name].default, f"{name} has two defaults"

    def test_options_are_keyword_only_with_types(self) -> None:
        _, features, *options = inspect.signature(self.part.__init__).parameters.values()
        assert features.name == "features"
        for option in options:
            assert option.kind is option.KEYWORD_ONLY, f"{option.name} can be given by position"
            assert option.annotation is not option.empty, f"{option.name} has no type"

    def test_constructs_on_meta(self) -> None:
        with torch.device("meta"):
            part = self.part(self.pyramid(), **self.options)
        assert all(tensor.is_meta for tensor in part.state_dict().values())

    def test_runs_at_odd_and_tiny_sizes(self) -> None:
        part = self.build()
        for size in self.canvas_sizes:
            tensors = self.run(part, self.maps(size), size)
            assert tensors
            assert all(tensor.isfinite().all() for tensor in tensors)

    def test_prediction_does_not_depend_on_batch_mates(self) -> None:
        part, size = self.build(), (64, 64)
        together = self.maps(size, batch=3)
        mask = torch.ones(3, *size, dtype=torch.bool)
        mask[0, 40:], mask[1, :, 50:] = False, False
        alone = pytree.tree_map_only(
            Tensor, lambda tensor: tensor[:1], (together.maps, together.extras, together.prefix_tokens)
        )
        with torch.no_grad():
            expected = self.run(part, FeatureMaps(*alone), size, mask[:1])
            given = self.run(part, together, size, mask)
        for one, many in zip(expected, given, strict=True):
            torch.testing.assert_close(many[:1], one, rtol=1e-4, atol=1e-5)

    def test_gradient_reaches_every_parameter(self) -> None:
        part = self.build().train()
        maps = self.maps((64, 64), grad=True)
        tensors = self.run(part, maps, (64, 64))
        sum((tensor * torch.randn_like(tensor)).sum() for tensor in tensors).backward()  # type: ignore[union-attr]
        idle = [
            name for name, parameter in part.named_parameters() if parameter.grad is None or not parameter.grad.any()
        ]
        assert not idle, f"no gradient in {idle}"

    def test_bfloat16_is_finite(self) -> None:
        part = self.build().bfloat16()
        noise = self.maps((64, 64))
        maps = pytree.tree_map_only(
            Tensor, lambda tensor: tensor.bfloat16(), (noise.maps, noise.extras, noise.prefix_tokens)
        )
        tensors = self.run(part, FeatureMaps(*maps), (64, 64))
        assert all(tensor.isfinite().all() for tensor in tensors)

    def test_compiles_as_one_graph(self) -> None:
        torch._dynamo.reset()
        runner = Runner(self, self.build())
        inputs = self._runner_inputs((64, 64))
        with torch.no_grad():
            compiled = torch.compile(runner, fullgraph=True, backend="eager")(*inputs)
            for given, expected in zip(compiled, runner(*inputs), strict=True):
                torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    def test_exports_with_a_dynamic_batch(self) -> None:
        runner = Runner(self, self.build())
        batch = torch.export.Dim("batch", min=1, max=64)
        inputs = self._runner_inputs((64, 64))
        dynamic = pytree.tree_map(lambda tensor: None if tensor is None else {0: batch}, inputs)
        program = torch.export.export(runner, inputs, dynamic_shapes=dynamic)
        other = self._runner_inputs((64, 64), batch=3)
        with torch.no_grad():
            for given, expected in zip(program.module()(*other), runner(*other), strict=True):
                torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    def golden_slice(self) -> tuple[float, ...]:
        part = fixed_weights(self.part(self.pyramid(), **self.options)).eval()
        size = self.canvas_sizes[0]
        with torch.no_grad():
            first = self.run(part, self.maps(size, noise=fixed_noise), size)[0]
        flat = first.flatten()
        # spread out: neighbours are often equal
        return tuple(flat[flat.numel() * ninth // 9].item() for ninth in (1, 3, 5, 8))

    def test_golden_slice(self) -> None:
        torch.testing.assert_close(self.golden_slice(), self.golden, rtol=1e-4, atol=1e-5)
