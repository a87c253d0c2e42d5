"""The common width of a pyramid, for heads that add levels to each other."""

from backbonekit.contract.features import FeaturePyramid
from backbonekit.errors import ContractError


def pyramid_width(features: FeaturePyramid, head: str) -> int:
    """The number of channels that all levels share. Raises ContractError where levels differ or there are none."""
    widths = sorted(set(features.channels))
    if len(widths) != 1:
        given = ", ".join(map(str, features.channels)) or "none"
        raise ContractError(
            f"head {head} adds levels to each other, so they need one width; it receives {given}. "
            f"The fix: neck=dpt_reassemble (or fpn)."
        )
    return widths[0]
