"""The label of pixels that belong to no class: one value for processing, padding, loss and results."""

from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import RecipeError

NO_CLASS = -1  # below every class: the default where 255 is one


def ignored_label(given: int | None, num_classes: int | None = None) -> int:
    """`given`; where it is None, 255, or -1 where the classes include 255."""
    if given is not None:
        return given
    return IGNORE_LABEL if num_classes is None or num_classes <= IGNORE_LABEL else NO_CLASS


def check_enough_labels(ignore_label: int, num_labels: int, *, part: str) -> None:
    """Raises RecipeError where ignoring leaves a single label, so that every pixel that counts has the same class.

    `num_labels`: how many there are, background included.
    """
    if num_labels <= 2 and 0 <= ignore_label < num_labels:
        raise RecipeError(
            f"{part}: ignore_label={ignore_label} is one of the {num_labels} labels 0 to {num_labels - 1}; with one "
            f"of them left, nothing could be learned. The fix: processing.ignore_label=255, and 255 for ignored pixels "
            f"in the targets."
        )
