"""One person of an image, as models are trained that find the keypoints of one person."""

from collections.abc import Callable

import torch

from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.resize import Factor, Size
from backbonekit.data.augmentation.sample import Sample, drawn_index, uniform
from backbonekit.errors import ContractError
from backbonekit.image_processing.person_crop import MARGIN, region_around

_TRIES = 20  # images that are looked at for one with a person


class PersonCrop:
    """A person of the image, drawn at random among those with keypoints, cut out around their box; the processor does
    not resize any more. An image without one is exchanged for another one of the split.

    `size`: (height, width) of the crop. `margin`: how much larger than the box the region is. `smallest`, `largest`:
    bounds of a factor of the region's size.

    Source: ViTPose (Xu et al., 2022), section 4.1; mmpose `TopDownGetBboxCenterScale`, `RandomBBoxTransform`.
    """

    sets_size = True

    def __init__(
        self,
        *,
        size: Size = (256, 192),
        margin: Factor = MARGIN,
        smallest: Factor = 0.65,
        largest: Factor = 1.35,
    ) -> None:
        self.size = size
        self.margin = margin
        self.smallest = smallest
        self.largest = max(smallest, largest)

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        for _ in range(_TRIES):
            persons = _persons(sample)
            if persons:
                return self._crop(sample, persons[drawn_index(len(persons))])
            sample = other()
        raise ContractError(f"none of {_TRIES} images drawn at random has a person with keypoints and a box.")

    def _crop(self, sample: Sample, person: int) -> Sample:
        kept = torch.arange(len(sample.target["boxes"])) == person
        left, top, right, bottom = sample.target["boxes"][person].tolist()
        region = region_around(
            (left, top, right, bottom), self.size, self.margin * uniform(self.smallest, self.largest)
        )
        sides = max(1, round(region.height)), max(1, round(region.width))
        cut = window(sample.select(kept), sides, offset=(round(region.top), round(region.left)))
        return window(cut, self.size, resized=self.size)


def _persons(sample: Sample) -> list[int]:
    if "keypoints" not in sample.target or "boxes" not in sample.target:
        return []
    annotated = (sample.target["keypoints"][..., 2] > 0).any(dim=1)
    return annotated.nonzero().flatten().tolist()
