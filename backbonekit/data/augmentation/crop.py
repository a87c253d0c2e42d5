"""Parts of images."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from backbonekit.contract.options import Probability, Range
from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.resize import Edge, Factor, Size, at_shortest_edge
from backbonekit.data.augmentation.sample import Sample, drawn_index, happens

_Share = Annotated[float, Range(0.0001, 1.0)]
_TRIES = 10  # as mmsegmentation and torchvision have it


class RandomCrop:
    """A crop of fixed size at random, with a border where the image is smaller; the processor does not resize any more.

    `size`: (height, width). `largest_share`: of a segmentation, of the crop's pixels with a class those that one class
    may have; a crop with a larger share is drawn again, at most ten times.

    Source: SegFormer (Xie et al., 2021), section 4.1; mmsegmentation `RandomCrop`, with `cat_max_ratio`.
    """

    sets_size = True

    def __init__(self, *, size: Size = (512, 512), largest_share: _Share = 1.0) -> None:
        self.size = size
        self.largest_share = largest_share

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        offset = self._offset(sample)
        segmentation = sample.target.get("segmentation")
        if segmentation is not None and self.largest_share < 1:
            for _ in range(_TRIES):
                if self._is_mixed(segmentation, offset, sample.ignore_label):
                    break
                offset = self._offset(sample)
        return window(sample, self.size, offset=offset)

    def _offset(self, sample: Sample) -> tuple[int, int]:
        free = [max(have - want, 0) for have, want in zip(sample.size, self.size, strict=True)]
        return drawn_index(free[0] + 1), drawn_index(free[1] + 1)

    def _is_mixed(self, segmentation: Tensor, offset: tuple[int, int], ignore_label: int) -> bool:
        (top, left), (height, width) = offset, self.size
        labels = segmentation[top : top + height, left : left + width]
        counts = labels[labels != ignore_label].unique(return_counts=True)[1]
        return len(counts) > 1 and float(counts.max() / counts.sum()) < self.largest_share


class RandomResizedCrop:
    """A crop of random size and aspect ratio, resized: Inception-style augmentation.

    `size`: (height, width) that the crop is resized to, after which the processor does not resize any more; null: the
    processor resizes it. `smallest_share`, `largest_share`: bounds of the crop's share of the image's area.
    `aspect_ratio`: bounds of its width by its height.

    Source: Szegedy et al., "Going Deeper with Convolutions" (2014); torchvision `RandomResizedCrop`.
    """

    def __init__(
        self,
        *,
        size: Size | None = None,
        smallest_share: _Share = 0.08,
        largest_share: _Share = 1.0,
        aspect_ratio: tuple[Factor, Factor] = (0.75, 1.333),
    ) -> None:
        self.sets_size = size is not None
        self.size = size
        shares = smallest_share, max(smallest_share, largest_share)
        self._draw = v2.RandomResizedCrop((1, 1), scale=shares, ratio=(min(aspect_ratio), max(aspect_ratio)))

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        found = self._draw.make_params([sample.image])
        cut = window(sample, (found["height"], found["width"]), offset=(found["top"], found["left"]))
        return cut if self.size is None else window(cut, self.size, resized=self.size)


class RandomSizeCrop:
    """A crop of random size of the image at one of several scales, as DETR is trained with, before `multi_scale`.

    `probability`: of the crop. `shortest_edges`: lengths of the shorter side before it. `smallest`, `largest`: bounds
    of both sides of the crop, in pixels.

    Source: DETR (Carion et al., 2020), section A.4; detr `datasets/transforms.py: RandomSizeCrop`.
    """

    sets_size = False

    def __init__(
        self,
        *,
        probability: Probability = 0.5,
        shortest_edges: tuple[Edge, ...] = (400, 500, 600),
        smallest: Edge = 384,
        largest: Edge = 600,
    ) -> None:
        self.probability = probability
        self.shortest_edges = shortest_edges
        self.smallest = smallest
        self.largest = max(smallest, largest)

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        if not happens(self.probability):
            return sample
        sample = at_shortest_edge(sample, self.shortest_edges[drawn_index(len(self.shortest_edges))])
        sides = [self._side(length) for length in sample.size]
        offset = [drawn_index(have - want + 1) for have, want in zip(sample.size, sides, strict=True)]
        return window(sample, (sides[0], sides[1]), offset=(offset[0], offset[1]))

    def _side(self, length: int) -> int:
        low, high = min(self.smallest, length), min(self.largest, length)
        return low + drawn_index(high - low + 1)


class IouCrop:
    """A crop that overlaps a box well, as SSD is trained with; objects whose centre is outside leave the target. An
    image without boxes stays.

    `probability`: of the crop. `smallest`, `largest`: bounds of its sides as shares of the image's. `aspect_ratio`:
    bounds of the width by the height.

    Source: SSD (Liu et al., 2016), section 2.2; torchvision `RandomIoUCrop`.
    """

    sets_size = False

    def __init__(
        self,
        *,
        probability: Probability = 0.8,
        smallest: _Share = 0.3,
        largest: _Share = 1.0,
        aspect_ratio: tuple[Factor, Factor] = (0.5, 2.0),
    ) -> None:
        self.probability = probability
        self._draw = v2.RandomIoUCrop(smallest, max(smallest, largest), min(aspect_ratio), max(aspect_ratio))

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        boxes = sample.target.get("boxes", torch.zeros(0, 4))
        if not happens(self.probability) or not len(boxes):
            return sample
        given = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=sample.size)  # type: ignore[call-overload]
        found = self._draw.make_params([sample.image, given])
        if not found:
            return sample
        inside = sample.select(found["is_within_crop_area"])
        return window(inside, (found["height"], found["width"]), offset=(found["top"], found["left"]))


class ZoomOut:
    """The image on a larger canvas of the mean colour, so that objects are small.

    `probability`: of the larger canvas. `largest`: its sides by those of the image, at most.

    Source: SSD (Liu et al., 2016), section 3.6; torchvision `RandomZoomOut`.
    """

    sets_size = False

    def __init__(self, *, probability: Probability = 0.5, largest: Annotated[float, Range(1.0, 16.0)] = 4.0) -> None:
        self.probability = probability
        self._draw = v2.RandomZoomOut(side_range=(1.0, largest))

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        if not happens(self.probability):
            return sample
        left, top, right, bottom = self._draw.make_params([sample.image])["padding"]
        size = sample.size[0] + top + bottom, sample.size[1] + left + right
        return window(sample, size, offset=(-top, -left))
