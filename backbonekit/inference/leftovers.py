"""What the prediction for a file leaves behind: a line of text, a drawn image, an entry of the results."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backbonekit.assembly.predict import FilePrediction
from backbonekit.contract.labels import Labels, LabelsByTask
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.pixels import is_grey, size_of
from backbonekit.image_processing.resize import shrinking
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.result_kinds import summarise
from backbonekit.postprocessing.writing import write_image
from backbonekit.visualization.draw import draw

_SHRINKS_A_LOT = 4  # times; four pixels of a side are then one


@dataclass(frozen=True, slots=True)
class Leftover:
    """`name`: the file's. `summary`: what was found. `note`: what else there is to know; None: nothing. `is_grey`:
    whether the image has one channel. `error`: why there is nothing of an image."""

    name: str
    summary: str = ""
    note: str | None = None
    is_grey: bool = False
    error: StorageError | ContractError | None = None


@dataclass(frozen=True, slots=True)
class Leftovers:
    """How predictions are written. `labels`: of the results. `outputs`: the file of the drawn image by that of the
    image; no image is drawn that has none. `drawn`: the options of `draw`."""

    labels: Labels | LabelsByTask | None
    outputs: Mapping[Path, Path]
    drawn: Mapping[str, Any]

    def absolute(self) -> "Leftovers":
        """For a process with another current folder."""
        return replace(self, outputs={given.absolute(): path.absolute() for given, path in self.outputs.items()})

    def write(
        self, prediction: FilePrediction, processing: Processing, results: CocoResults | None, position: int
    ) -> Leftover:
        """Draws the image and adds the entry. `position`: of the file among all, from 0. Raises StorageError where
        that cannot be written."""
        image, result, source = prediction.image, prediction.result, Path(prediction.source)
        if image is None or result is None:
            return Leftover(source.name, error=prediction.error)
        factor = shrinking(size_of(image), processing)
        note = None
        if factor > _SHRINKS_A_LOT:
            note = f"{source.name}: made {factor:.1f} times smaller for the model, so small things are lost."
        if source in self.outputs:
            write_image(self.outputs[source], draw(image, result, self.labels, **self.drawn))
        if results is not None:
            results.add(source.name, size_of(image), result, image_id=position + 1)
        return Leftover(source.name, summarise(result, self.labels), note, is_grey(image))
