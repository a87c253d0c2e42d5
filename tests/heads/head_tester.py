"""The tests that every head passes. A concrete test derives from `HeadTester` and defines `part`, `options`,
`prediction` and `golden`; `options` holds `num_classes`."""

from typing import Any, ClassVar, get_args, get_type_hints

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import Prediction, Scoring
from backbonekit.contract.requirements import Requirement
from tests.part_tester import PartTester


class HeadTester(PartTester):
    prediction: ClassVar[type[Prediction]]

    def call(self, part: nn.Module, maps: FeatureMaps, canvas: Canvas) -> list[Tensor]:
        return [leaf for leaf in pytree.tree_leaves(part(maps, canvas, None)) if isinstance(leaf, Tensor)]

    def shapes(self, batch: int, size: tuple[int, int]) -> dict[str, tuple[Any, ...]]:
        """The shape of each field of the prediction in eval mode without targets; for a field by level, a tuple of
        shapes."""
        raise NotImplementedError

    def test_predictions_have_the_declared_type_and_shapes(self) -> None:
        head = self.build()
        for size in self.canvas_sizes:
            prediction = head(self.maps(size), Canvas(size))
            assert type(prediction) is self.prediction
            shapes = {
                name: tuple(value.shape) if isinstance(value, Tensor) else tuple(tuple(one.shape) for one in value)
                for name, value in prediction.items()
            }
            assert shapes == self.shapes(2, size)

    def test_declares_scoring_and_criterion(self) -> None:
        assert self.part.scoring in get_args(Scoring)
        assert self.part.criterion is None or self.part.criterion.isidentifier()
        assert get_type_hints(self.part.forward)["return"] is self.prediction

    def test_requires_feature_levels(self) -> None:
        needs = self.part.needs(None)
        assert isinstance(needs, Requirement)
        assert needs.strides or needs.last

    def test_one_class_is_enough(self) -> None:
        head = self.build(num_classes=1)
        assert self.run(head, self.maps((64, 64)), (64, 64))

    def test_auxiliary_predictions_are_for_the_loss_only(self) -> None:
        head = self.build()
        with torch.no_grad():
            assert "auxiliary" not in head(self.maps((64, 64)), Canvas((64, 64)), None)
