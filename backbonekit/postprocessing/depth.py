"""Depth for every pixel of the original image."""

from collections.abc import Sequence

from backbonekit.contract.predictions import DenseDepth, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import DepthResult
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.window import on_image, resample, window_of


def depth_maps(
    prediction: DenseDepth, geometries: Sequence[Geometry], *, scoring: Scoring = "distance"
) -> list[DepthResult]:
    """Resampled bicubically, as DPT and its successors do; NaN outside a centre crop."""
    results = []
    for depth, geometry in zip(upcast_to_float32(prediction.depth), geometries, strict=True):
        window = window_of(geometry, (depth.shape[-2], depth.shape[-1]))
        values = resample(depth[None], window, mode="bicubic")[0].cpu().float()
        results.append(DepthResult(on_image(values, window, float("nan")), is_distance=scoring != "nearness"))
    return results
