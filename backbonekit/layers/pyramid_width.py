"""The one width that a head which folds levels into each other needs."""

from backbonekit.contract.features import FeaturePyramid
from backbonekit.errors import ContractError


def pyramid_width(features: FeaturePyramid, head: str) -> int:
    """Channels of every level. Raises ContractError where they differ, or where there is no level."""
    widths = sorted(set(features.channels))
    if len(widths) != 1:
        given = ", ".join(map(str, features.channels)) or "none"
        raise ContractError(
            f"head {head} adds levels to each other, so they need one width; it receives {given}. "
            f"The fix: neck=dpt_reassemble (or fpn)."
        )
    return widths[0]
