"""Images in other sizes: what a model learns from objects that look large and small."""

from collections.abc import Callable
from typing import Annotated

from backbonekit.contract.options import Range
from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.sample import Sample, drawn_index, uniform

Edge = Annotated[int, Range(1, 16_384)]  # pixels
Size = tuple[Edge, Edge]  # (height, width)
Factor = Annotated[float, Range(0.01, 100.0)]


class MultiScale:
    """The shorter side at one of several lengths; the processor does not resize any more.

    `shortest_edges`: the lengths in pixels. `longest_edge`: the longer side is at most as long, for which the shorter
    one becomes shorter.

    Source: DETR (Carion et al., 2020), section A.4; detr `datasets/coco.py: make_coco_transforms`.
    """

    sets_size = True

    def __init__(
        self,
        *,
        shortest_edges: tuple[Edge, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
        longest_edge: Edge = 1333,
    ) -> None:
        self.shortest_edges = shortest_edges
        self.longest_edge = longest_edge

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        edge = self.shortest_edges[drawn_index(len(self.shortest_edges))]
        return at_shortest_edge(sample, edge, self.longest_edge)


class ScaleJitter:
    """Large scale jittering (LSJ): the image made smaller or larger at random, and a crop of fixed size of it, with a
    border where it is smaller; the processor does not resize any more.

    `size`: (height, width) of the crop. `smallest`, `largest`: bounds of the factor; 1 is the largest image that fits
    into the crop.

    Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method" (2021), section 3; detectron2
    `data/transforms/augmentation_impl.py: ResizeScale, FixedSizeCrop`.
    """

    sets_size = True

    def __init__(self, *, size: Size = (1024, 1024), smallest: Factor = 0.1, largest: Factor = 2.0) -> None:
        self.size = size
        self.smallest = smallest
        self.largest = max(smallest, largest)

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        return jittered(sample, self.size, uniform(self.smallest, self.largest))


def jittered(sample: Sample, size: tuple[int, int], factor: float) -> Sample:
    """The image at `factor` times the size that fits into `size`, and a crop of `size` of it at random; a smaller image
    is in the upper left corner."""
    resized = fitting(sample.size, (size[0] * factor, size[1] * factor))
    offset = [drawn_index(max(have - want, 0) + 1) for have, want in zip(resized, size, strict=True)]
    return window(sample, size, resized=resized, offset=(offset[0], offset[1]))


def at_shortest_edge(sample: Sample, edge: int, longest: int | None = None) -> Sample:
    """With the shorter side at `edge` pixels, and the longer one at most at `longest`."""
    height, width = sample.size
    scale = edge / min(height, width)
    if longest is not None:
        scale = min(scale, longest / max(height, width))
    resized = max(1, round(height * scale)), max(1, round(width * scale))
    return window(sample, resized, resized=resized)


def fitting(size: tuple[int, int], limits: tuple[float, float]) -> tuple[int, int]:
    """The largest size of the same aspect ratio within `limits` (height, width)."""
    scale = min(limits[0] / size[0], limits[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
