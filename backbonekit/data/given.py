"""A torch data set of (image, target) pairs as a data source: what a person wrote in Python."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from backbonekit.contract.datasets import Split
from backbonekit.contract.labels import Labels
from backbonekit.errors import ContractError, RecipeError, nearest


class Pairs(Protocol):
    """What `torch.utils.data.Dataset` is, without importing torch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class GivenData:
    """Data sets of (image, target) pairs, such as torchvision's, one for each split.

    `train`, `val`, `test`: each has a length and returns a pair for an index. The target is a dict of the keys of
    docs/targets.md, a whole number (the class of the image), or COCO's annotations of the image. `labels`: the classes;
    a list of names, or `Labels` with the category ids of COCO's annotations.
    """

    def __init__(
        self,
        *,
        train: Pairs | None = None,
        val: Pairs | None = None,
        test: Pairs | None = None,
        labels: Labels | Sequence[str] | None = None,
    ) -> None:
        given = {"train": train, "val": val, "test": test}
        self.labels = labels if labels is None or isinstance(labels, Labels) else Labels(tuple(labels))
        self._splits = {
            name: _GivenSplit(pairs, name, self.labels) for name, pairs in given.items() if pairs is not None
        }

    def split(self, name: str) -> Split:
        if name not in self._splits:
            raise RecipeError(f"GivenData has no split {name!r}; {nearest(name, self._splits)}")
        return self._splits[name]


class _GivenSplit:
    def __init__(self, pairs: Pairs, split: str, labels: Labels | None) -> None:
        self._pairs = pairs
        self._split = split
        self._labels = labels

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        pair = self._pairs[index]
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise ContractError(f"{self.name(index)}: a pair (image, target) is expected, given {type(pair).__name__}.")
        image, target = pair
        return image, {"image_id": index, **self._target(index, image, target)}

    def name(self, index: int) -> str:
        return f"{self._split}[{index}]"

    def image_id(self, index: int) -> int:
        return index

    def _target(self, index: int, image: Any, target: Any) -> Mapping[str, Any]:
        import torch

        if isinstance(target, Mapping) and "annotations" not in target:
            return target
        if isinstance(target, Mapping | Sequence) and not isinstance(target, str):
            return self._from_coco(image, target)
        try:
            return {"class": torch.tensor(operator.index(target))}  # type: ignore[arg-type]
        except TypeError:
            raise ContractError(
                f"{self.name(index)}: the target is of type {type(target).__name__}; a dict of the keys of "
                "docs/targets.md, a class, or COCO's annotations of the image are expected."
            ) from None

    def _from_coco(self, image: Any, annotations: Any) -> Mapping[str, Any]:
        import torch

        from backbonekit.image_processing.coco import read_annotations
        from backbonekit.image_processing.pixels import size_of

        size = (image.shape[-2], image.shape[-1]) if isinstance(image, torch.Tensor) else size_of(image)
        ids = None if self._labels is None else self._labels.category_ids
        classes = None if ids is None else {category: position for position, category in enumerate(ids)}
        return read_annotations(annotations, classes, size=size, with_crowds=True)
