"""What the numbers of an image mean: 8 or 16 bits, floats in [0, 1], or the units that `processing.range` declares."""

import numpy as np

from backbonekit.errors import ContractError

ValueRange = tuple[float, float]

_LIMIT_16_BIT = 65_535
# A bicubic augmentation overshoots the range a little; 0..255 as float, or a normalised image, does so a lot.
_SLACK = 0.1
_DECLARE = "For other units declare what maps to [0, 1]: processing.range=[low, high]."


def in_units(pixels: np.ndarray, value_range: ValueRange | None) -> np.ndarray:
    """The pixels as uint8 (of 8 bits) or float32. Without `value_range` floats lie in [0, 1] and 16 bits are divided by
    65,535; with it all values are the image's own, and lie within it.

    Raises ContractError for values outside, for NaN and infinity, and without `value_range` for whole numbers of other
    widths, whose range nobody knows.
    """
    kind = pixels.dtype
    if kind.kind not in "biuf":
        raise ContractError(f"an image of dtype {kind}: whole numbers or floats are expected.")
    if value_range is not None:
        return pixels if kind == np.uint8 and _is_within(pixels, value_range) else _checked(pixels, value_range)
    if kind.kind == "b":
        return pixels.astype(np.uint8) * 255
    if kind == np.uint8:
        return pixels
    if kind == np.uint16:
        return pixels.astype(np.float32) / _LIMIT_16_BIT
    if kind.kind != "f":
        raise ContractError(
            f"an image of dtype {kind} has no known range; give uint8 (0..255), uint16 (0..65535) or float (0..1). "
            + _DECLARE
        )
    return _checked(pixels, (0.0, 1.0), declared=False)


def _checked(pixels: np.ndarray, value_range: ValueRange, *, declared: bool = True) -> np.ndarray:
    floats = pixels.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ContractError(
            "a float image must be finite; this one has NaN or infinity in it. Where nothing was measured give the "
            "mean of the band."
        )
    if _is_within(floats, value_range):
        return floats
    shown = f"[{floats.min():g}, {floats.max():g}]"
    low, high = value_range
    if declared:
        raise ContractError(
            f"the image lies in {shown}, outside the declared processing.range=[{low:g}, {high:g}]. The fix: a range "
            "that holds all values, or values cut to it."
        )
    raise ContractError(
        f"a float image lies in [0, 1]; this one in {shown}. Give uint8, divide by 255, or pass what is already "
        f"normalised to the model (or to `collate`) directly. {_DECLARE}"
    )


def _is_within(values: np.ndarray, value_range: ValueRange) -> bool:
    if not values.size:
        return True
    low, high = value_range
    slack = _SLACK * (high - low)
    return bool(values.min() >= low - slack and values.max() <= high + slack)
