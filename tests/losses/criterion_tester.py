"""The tests that every criterion passes. A concrete test derives from `CriterionTester` and defines a
prediction and its targets."""

from typing import Any, ClassVar

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import Prediction
from backbonekit.contract.targets import Target, Targets

SIZE = (24, 32)


class CriterionTester:
    """`keys`: the keys of a target that the criterion reads."""

    criterion: ClassVar[type]
    options: ClassVar[dict[str, Any]] = {}
    keys: ClassVar[tuple[str, ...]]
    compiles: ClassVar[bool] = True  # as one graph, with equal results of two calls
    not_compiled_because: ClassVar[str] = "the number of targets is read on the host"

    def prediction(self, batch: int) -> Prediction:
        """A random prediction without gradients, the same at every call."""
        raise NotImplementedError

    def target(self, index: int) -> Target:
        """The target of the image at this index, on a canvas of `SIZE`."""
        raise NotImplementedError

    def empty_target(self) -> Target:
        """A target with all keys and no content: no object, every pixel ignored. Override where one exists."""
        return {}

    # tools

    def build(self, **changes: Any) -> nn.Module:
        return self.criterion(**{**self.options, **changes})

    def targets(self, batch: int) -> Targets:
        return [self.target(index) for index in range(batch)]

    def run(
        self, prediction: Prediction, targets: Targets, mask: Tensor | None = None, **changes: Any
    ) -> dict[str, Tensor]:
        return self.build(**changes)(prediction, targets, Canvas(SIZE, mask))

    @staticmethod
    def with_gradients(prediction: Prediction) -> Prediction:
        """The same prediction, as leaves that require gradients."""
        return pytree.tree_map_only(Tensor, lambda tensor: tensor.detach().clone().requires_grad_(), prediction)

    @staticmethod
    def leaves(prediction: Prediction) -> list[Tensor]:
        return [leaf for leaf in pytree.tree_leaves(prediction) if isinstance(leaf, Tensor)]

    @staticmethod
    def picked(prediction: Prediction, order: list[int]) -> Prediction:
        return pytree.tree_map_only(Tensor, lambda tensor: tensor[order], prediction)

    def assert_zero_with_a_connected_graph(self, prediction: Prediction, targets: Targets) -> None:
        prediction = self.with_gradients(prediction)
        terms = self.run(prediction, targets)
        assert terms
        for name, term in terms.items():
            assert term.ndim == 0
            assert term.item() == 0, name
        sum(terms.values()).backward()  # type: ignore[union-attr]
        for leaf in self.leaves(prediction):
            assert leaf.grad is not None, (
                "a tensor of the prediction is not connected to the loss: DDP would wait for it"
            )
            assert leaf.grad.isfinite().all()

    # tests

    def test_terms_are_named_finite_scalars_with_gradients(self) -> None:
        prediction = self.with_gradients(self.prediction(3))
        terms = self.run(prediction, self.targets(3))
        assert terms
        for name, term in terms.items():
            assert term.ndim == 0
            assert term.isfinite(), name
            assert term.item() > 0, name
        sum(terms.values()).backward()  # type: ignore[union-attr]
        for leaf in self.leaves(prediction):
            assert leaf.grad is not None
            assert leaf.grad.isfinite().all()
            assert leaf.grad.any()

    def test_a_missing_key_has_zero_loss_and_keeps_the_graph_connected(self) -> None:
        self.assert_zero_with_a_connected_graph(self.prediction(2), [{}, {}])

    def test_a_missing_key_has_zero_loss_even_where_the_prediction_is_infinite(self) -> None:
        prediction = pytree.tree_map_only(
            Tensor, lambda tensor: torch.full_like(tensor, float("inf")), self.prediction(2)
        )
        self.assert_zero_with_a_connected_graph(prediction, [{}, {}])

    def test_an_empty_target_is_legal(self) -> None:
        prediction = self.with_gradients(self.prediction(2))
        terms = self.run(prediction, [self.empty_target(), self.empty_target()])
        assert all(term.isfinite() for term in terms.values())
        sum(terms.values()).backward()  # type: ignore[union-attr]
        assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in self.leaves(prediction))

    def test_names_of_terms_do_not_depend_on_the_targets(self) -> None:
        prediction = self.prediction(2)
        assert set(self.run(prediction, [{}, {}])) == set(self.run(prediction, self.targets(2)))

    def test_does_not_depend_on_the_order_of_images(self) -> None:
        prediction, targets = self.prediction(3), self.targets(3)
        forward = self.run(prediction, targets)
        backward = self.run(self.picked(prediction, [2, 1, 0]), targets[::-1])
        for name, term in forward.items():
            torch.testing.assert_close(backward[name], term, rtol=1e-4, atol=1e-5)

    def test_runs_under_half_precision(self) -> None:
        prediction = pytree.tree_map_only(Tensor, lambda tensor: tensor.bfloat16(), self.prediction(2))
        terms = self.run(self.with_gradients(prediction), self.targets(2))
        assert all(term.isfinite() for term in terms.values())

    def test_has_no_parameters(self) -> None:
        assert not list(self.build().parameters())

    def test_compiles_as_one_graph(self) -> None:
        if not self.compiles:
            pytest.skip(self.not_compiled_because)
        torch._dynamo.reset()
        criterion, prediction, targets = self.build(), self.prediction(2), self.targets(2)

        def terms(prediction: Prediction) -> dict[str, Tensor]:
            return criterion(prediction, targets, Canvas(SIZE))

        compiled = torch.compile(terms, fullgraph=True, backend="eager")(prediction)
        for name, term in terms(prediction).items():
            torch.testing.assert_close(compiled[name], term, rtol=1e-4, atol=1e-5)
