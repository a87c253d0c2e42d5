"""How images are prepared for a file that accepts one size alone."""

from dataclasses import replace

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError


def fixed_processing(processing: Processing, size: tuple[int, int], *, padded: bool) -> Processing:
    """The processing whose images all have (height, width) `size`: as given where they have it already. Else, for an
    input without a mask, resized to it, the aspect ratio given up; with a mask (`padded`) resized to fit into it and
    padded."""
    if processing.canvas == size and padded:
        return processing
    if processing.canvas is None and _made_size(processing) == size:
        return processing
    bare = replace(
        processing,
        size=None,
        shortest_edge=None,
        longest_edge=None,
        max_size=None,
        size_divisor=1,
        keep_aspect_ratio=False,
        multiple_of=1,
        crop=None,
        border="black",
        rounding="down",
        canvas=None,
    )
    return replace(bare, max_size=size, canvas=size) if padded else replace(bare, size=size)


def free_processing(processing: Processing, *, padded: bool) -> Processing:
    """The processing for a file that accepts any size: as given. Raises ContractError for one that pads every image,
    without a mask that says where."""
    if processing.canvas is not None and not padded:
        height, width = processing.canvas
        raise ContractError(
            f"export: the processing pads every image to {height} x {width} pixels, and without a mask the file cannot "
            f"tell the padding. The fix: padded=True."
        )
    return processing


def _made_size(processing: Processing) -> tuple[int, int] | None:
    """The (height, width) of every prepared image; None where it depends on the image."""
    if processing.crop is not None:
        return processing.crop
    if processing.size is None or processing.keep_aspect_ratio:
        return None
    divisor = processing.size_divisor
    height, width = (-(-side // divisor) * divisor for side in processing.size)
    return height, width
