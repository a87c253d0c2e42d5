"""Depth against the ground truth: relative and squared errors, and shares of pixels that are near it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import DepthResult
from backbonekit.contract.scores import Scores
from backbonekit.evaluation.measure import ResultOptions, array, check_size, mean

_METRICS = ("abs_rel", "rmse", "delta1", "delta2", "delta3")
_SMALLEST = 1e-6  # of a depth, before its ratio and its inverse are taken


class DepthMeasure:
    """`abs_rel`, `rmse` (in the ground truth's unit) and `delta1` to `delta3` (the shares of pixels whose ratio to the
    ground truth is below 1.25, 1.25^2 and 1.25^3), the mean over images of each image's own.

    A pixel counts where the ground truth is above 0 and the result has a depth. A result that is a distance is compared
    as it is. One that is nearness up to scale and shift is first fitted to the inverse ground truth of its image by
    least squares; what then lies beyond the farthest pixel of the ground truth is put there.

    Source: Eigen et al., "Depth Map Prediction from a Single Image" (2014), section 4.2; the fit: Ranftl et al.,
    "Towards Robust Monocular Depth Estimation" (2019), section 5 and supplement.
    """

    needs = ("depth",)
    options = ResultOptions()

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        pass

    def record(self, result: DepthResult, target: Mapping[str, Any]) -> tuple[float, ...] | None:
        """The metrics of one image; None of one without a pixel that counts."""
        expected = array(target, "depth", np.float64)
        found = result.depth.double().numpy()
        check_size(found.shape, expected.shape, "depth")
        counted = np.isfinite(expected) & (expected > 0) & np.isfinite(found)
        if not counted.any():
            return None
        expected, found = expected[counted], found[counted]
        if not result.is_distance:
            found = _fitted(found, expected)
        found = np.maximum(found, _SMALLEST)
        error = found - expected
        farther = np.maximum(found / expected, expected / found)
        near = [float((farther < 1.25**power).mean()) for power in (1, 2, 3)]
        return (float((np.abs(error) / expected).mean()), float(np.sqrt((error**2).mean())), *near)

    def scores(self, records: Sequence[tuple[float, ...] | None]) -> Scores:
        values = np.array([record for record in records if record is not None], np.float64).reshape(-1, len(_METRICS))
        summary = {name: mean(values[:, column]) for column, name in enumerate(_METRICS)}
        return Scores(main=("abs_rel", summary["abs_rel"]), summary=summary, num_images=len(records))


def _fitted(nearness: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The depth that nearness [pixels] stands for, with the scale and shift that fit it best to `expected`."""
    inverse = 1 / np.maximum(expected, _SMALLEST)
    columns = np.stack([nearness, np.ones_like(nearness)], axis=1)
    scale, shift = np.linalg.lstsq(columns, inverse, rcond=None)[0]
    return 1 / np.maximum(scale * nearness + shift, inverse.min())
