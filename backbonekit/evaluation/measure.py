"""What measures one kind of result: a small record of every image, and scores of all records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from backbonekit.contract.labels import Labels, category_id_of
from backbonekit.contract.scores import Scores
from backbonekit.errors import ContractError


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """How results are read off a prediction so that they can be measured: the options of `to_results`. None: its own
    default."""

    threshold: float | None = None
    top_k: int | None = None


class Measure(Protocol):
    """Records are plain objects (numbers, NumPy arrays), so that processes exchange them, and a few kilobytes each, so
    that a data set of any size fits. `needs`: the keys that a target must have; alternatives with a bar ("a|b")."""

    needs: tuple[str, ...]
    options: ResultOptions

    def record(self, result: Any, target: Mapping[str, Any]) -> Any:
        """What counts of one image. Raises ContractError where the two do not go together."""
        ...

    def scores(self, records: Sequence[Any]) -> Scores: ...


def array(target: Mapping[str, Any], key: str, dtype: Any) -> np.ndarray:
    """A value of a target as an array."""
    value = target[key]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=dtype)


def check_size(result: tuple[int, ...], target: tuple[int, ...], key: str) -> None:
    """Raises ContractError unless a result and its target cover the same pixels, (height, width)."""
    if result != target:
        raise ContractError(
            f"the result has {result[0]} x {result[1]} pixels (height x width) and its target's {key} "
            f"{target[0]} x {target[1]}; both are in the image's own pixels."
        )


def class_names(labels: Labels | None, count: int) -> tuple[str, ...]:
    """The names of the classes 0 to count - 1; a class without a name has its number."""
    return tuple(str(index) if labels is None else labels.name(index) for index in range(count))


def class_id(labels: Labels | None, index: int) -> int:
    """The user's own id of a class, where there is one."""
    return category_id_of(labels, index) if labels is None or index < len(labels.names) else index


def ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """`part / whole`, NaN where `whole` is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)


def mean(values: np.ndarray) -> float:
    """Of the values that are defined; NaN where none is."""
    values = np.asarray(values, np.float64)
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
