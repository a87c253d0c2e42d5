"""Boxes and masks of objects against the ground truth: COCO's average precision."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import InstanceResult
from backbonekit.contract.scores import Scores
from backbonekit.evaluation.average_precision import average_precision
from backbonekit.evaluation.measure import ResultOptions, check_size
from backbonekit.evaluation.objects import ImageRecord, Objects, expected_objects, run_lengths, to_sizes

MOST_OBJECTS = 100  # an image, as COCO's evaluation counts


class DetectionMeasure:
    """`box_AP`, `box_AP50` and so on; `mask_AP` and so on too where both the results and the targets have masks.

    Every result counts, however low its score, up to 100 an image. Objects that `iscrowd` marks are COCO's crowds: a
    result on one is neither right nor wrong. `area` of a target decides which objects are small; without it the area of
    the mask does, or of the box.

    Source: github.com/cocodataset/cocoapi `PythonAPI/pycocotools/cocoeval.py`.
    """

    needs: tuple[str, ...] = ("boxes", "labels")
    options = ResultOptions(threshold=0.0, top_k=MOST_OBJECTS)
    main = "box_AP"

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        self.labels = labels

    def record(self, result: InstanceResult, target: Mapping[str, Any]) -> ImageRecord:
        has_masks = result.masks is not None and "masks" in target
        expected = expected_objects(target, with_masks=has_masks)
        size = (0, 0)
        if has_masks and result.masks is not None:
            size = (int(result.masks.shape[1]), int(result.masks.shape[2]))
            if expected.masks:
                check_size(size, tuple(expected.masks[0]["size"]), "masks")
        return ImageRecord(expected, _found(result, with_masks=has_masks), size)

    def scores(self, records: Sequence[ImageRecord]) -> Scores:
        measured = [average_precision(records, "bbox", self.labels)]
        if records and all(record.found.masks is not None for record in records):
            measured.append(average_precision(records, "segm", self.labels))
        if self.main == "mask_AP":
            measured.reverse()
        summary = {name: value for one in measured for name, value in one.summary.items()}
        main = summary.get(self.main, float("nan"))  # without an image there are no masks
        tables, curves = tuple(one.table for one in measured), tuple(one.curves for one in measured)
        return Scores((self.main, main), summary, tables, len(records), curves)


class InstanceMeasure(DetectionMeasure):
    """Of models that predict masks: `mask_AP` first, and `box_AP` of the boxes around the masks."""

    needs = ("masks", "labels")
    main = "mask_AP"


def _found(result: InstanceResult, *, with_masks: bool) -> Objects:
    boxes = to_sizes(result.boxes_xyxy.double().numpy())
    return Objects(
        labels=result.labels.numpy(),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        scores=result.scores.numpy().astype(np.float32),
        masks=run_lengths(result.masks.numpy()) if with_masks and result.masks is not None else None,
    )
