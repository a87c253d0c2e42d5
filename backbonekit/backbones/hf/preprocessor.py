"""How a transformers repository says that pictures are prepared: its `preprocessor_config.json` as our `Processing`."""

from collections.abc import Mapping
from math import floor
from typing import Any, get_args

from backbonekit.contract.processing import Interpolation, Processing

FILE = "preprocessor_config.json"
_MAX_SIDE = 16_384  # pixels
_INTERPOLATIONS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers


def processing_of(fields: Mapping[str, Any], default: Processing) -> Processing:
    """The resize, crop and statistics of a `preprocessor_config.json`. What it lacks or garbles is the default's."""
    mean = _statistics(fields.get("image_mean"), default.mean)
    std = _statistics(fields.get("image_std"), default.std)
    if fields.get("do_normalize") is False:
        mean, std = tuple(0.0 for _ in mean), tuple(1.0 for _ in std)
    interpolation = _INTERPOLATIONS.get(fields.get("resample", -1), default.interpolation)
    assert interpolation in get_args(Interpolation)
    size, shortest, longest = _resize(fields, default)
    crop = _crop(fields) if fields.get("do_center_crop", "crop_size" in fields) else None
    percentage = fields.get("crop_pct")
    if shortest is not None and crop is None and isinstance(percentage, float) and 0 < percentage <= 1:
        # Source: ConvNextImageProcessor. Below 384 pixels it resizes past the size and cuts the centre out of it.
        if shortest < 384:
            crop, shortest = (shortest, shortest), floor(shortest / percentage)
        else:
            size, shortest = (shortest, shortest), None
    return Processing(
        size=size,
        shortest_edge=shortest,
        longest_edge=longest,
        size_divisor=_side(fields.get("size_divisor")) or 1,
        crop=crop,
        interpolation=interpolation,
        mean=mean,
        std=std,
    )


def _resize(fields: Mapping[str, Any], default: Processing) -> tuple[tuple[int, int] | None, int | None, int | None]:
    if fields.get("do_resize") is False:
        return None, None, None
    size = fields.get("size")
    if isinstance(size, Mapping):
        height, width = _side(size.get("height")), _side(size.get("width"))
        if height and width:
            return (height, width), None, None
        shortest = _side(size.get("shortest_edge"))
        if shortest:
            return None, shortest, _side(size.get("longest_edge"))
    side = _side(size)
    if (
        side
    ):  # as written before transformers 4.26: one number, and `crop_pct` or a centre crop makes it a shortest edge
        has_crop = "crop_pct" in fields or fields.get("do_center_crop")
        return (None, side, None) if has_crop else ((side, side), None, None)
    return default.size, default.shortest_edge, default.longest_edge


def _crop(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    crop = fields.get("crop_size")
    if isinstance(crop, Mapping):
        height, width = _side(crop.get("height")), _side(crop.get("width"))
        return (height, width) if height and width else None
    side = _side(crop)
    return (side, side) if side else None


def _side(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SIDE else None


def _statistics(value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= 64:
        return default
    return tuple(float(number) for number in value) if all(isinstance(n, int | float) for n in value) else default
