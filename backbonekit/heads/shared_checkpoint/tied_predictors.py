"""Files in which a model's predictors are one tensor under two names.

transformers stores the predictors of Deformable DETR, RT-DETR and D-FINE as `class_embed.N` and `bbox_embed.N`, with
the same tensors inside the decoder under the same names; which of them a file holds depends on the release that wrote
it, and on what has left out the second of two equal tensors since.
"""

from collections.abc import Mapping

import torch

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.key_map import KeyMap
from backbonekit.weights.stored_tensors import StoredTensor

INSIDE = "model.decoder."


class TiedPredictors(KeyMap):
    """A table that first brings the predictors to one spelling: `KIND.N` for every N below its count.

    `table`: knows the names `KIND.N`. `counts`: by kind how many predictors the model has. `first_for_all`: whether the
    first stands in for those that a file leaves out, where all of a model may be one tensor. Raises WeightsError where
    a file has different tensors for one predictor.
    """

    def __init__(self, table: KeyMap, counts: Mapping[str, int], *, first_for_all: bool = False) -> None:
        super().__init__(())
        self._sections = table._sections
        self._counts = dict(counts)
        self._first_for_all = first_for_all

    def translate(self, checkpoint: Checkpoint) -> Checkpoint:
        found: dict[str, StoredTensor] = {}
        predictors: dict[tuple[str, int, str], StoredTensor] = {}
        for key, entry in checkpoint.tensors.items():
            part = self._part_of(key)
            if part is None:
                found[key] = entry
            elif part in predictors and not torch.equal(predictors[part].load(), entry.load()):
                first = ", ".join(predictors[part].stored_as) or _name(part)
                raise WeightsError(f"{checkpoint.origin}: {key!r} and {first!r} are one tensor here and differ.")
            else:
                predictors.setdefault(part, entry)
        for (kind, index, rest), entry in list(predictors.items()) if self._first_for_all else ():
            for other in range(1, self._counts[kind]) if index == 0 else ():
                predictors.setdefault((kind, other, rest), _copied(entry))
        return super().translate(
            checkpoint.replaced({**found, **{_name(part): entry for part, entry in predictors.items()}})
        )

    def _part_of(self, key: str) -> tuple[str, int, str] | None:
        """Which predictor, and which of its tensors. All are the first where the model has one for all layers."""
        kind, _, rest = key.removeprefix(INSIDE).partition(".")
        number, _, rest = rest.partition(".")
        if kind not in self._counts or not number.isdecimal() or not rest:
            return None
        return kind, 0 if self._counts[kind] == 1 and self._first_for_all else int(number), rest


def _name(part: tuple[str, int, str]) -> str:
    return f"{part[0]}.{part[1]}.{part[2]}"


def _copied(entry: StoredTensor) -> StoredTensor:
    # A copy, since training changes each by itself.
    return StoredTensor(entry.shape, entry.dtype, lambda: entry.load().clone(), entry.stored_as)
