"""What a batch of the data module holds beside the inputs of the model."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbonekit.contract.processing import Geometry

INPUTS = ("pixel_values", "pixel_mask", "targets")


class Originals:
    """`geometries`: where each image went; `targets`: in each image's own pixels. An engine that moves a batch to a
    device leaves it alone, since it is no collection."""

    def __init__(self, geometries: Sequence[Geometry], targets: Sequence[Mapping[str, Any]]) -> None:
        self.geometries = list(geometries)
        self.targets = list(targets)


def inputs_of(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is called with."""
    return {name: batch[name] for name in INPUTS if name in batch}


def names_of(batch: Mapping[str, Any]) -> list[str]:
    """The files of a batch, as messages name them; without names, its positions."""
    return list(batch.get("names") or [f"image {position} of the batch" for position in range(_length(batch))])


def _length(batch: Mapping[str, Any]) -> int:
    return len(batch["pixel_values"])
