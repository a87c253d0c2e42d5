"""Depth for every pixel of the original picture."""

from collections.abc import Sequence

from backbonekit.contract.answers import DenseDepth, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import DepthResult
from backbonekit.image_processing.after.window import on_picture, resample, window_of
from backbonekit.ops.precision import at_least_single


def depth_maps(
    answer: DenseDepth, geometries: Sequence[Geometry], *, scoring: Scoring = "distance"
) -> list[DepthResult]:
    """Resampled bicubically, as DPT and its successors do; NaN outside a centre crop."""
    results = []
    for depth, geometry in zip(at_least_single(answer.depth), geometries, strict=True):
        window = window_of(geometry, (depth.shape[-2], depth.shape[-1]))
        values = resample(depth[None], window, mode="bicubic")[0].cpu().float()
        results.append(DepthResult(on_picture(values, window, float("nan")), is_distance=scoring != "nearness"))
    return results
