"""Pixels changed where they are; targets stay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
import torchvision.transforms.v2.functional as functional
from torch import Tensor
from torchvision.transforms import v2

from backbonekit.contract.options import Probability, Range
from backbonekit.data.augmentation.geometry import mean_colour
from backbonekit.data.augmentation.sample import Sample, happens, uniform
from backbonekit.errors import ContractError

_Amount = Annotated[float, Range(0.0, 1.0)]
_Share = Annotated[float, Range(0.0001, 1.0)]


class ColourJitter:
    """Brightness, contrast, saturation and hue changed at random, each for itself.

    `probability`: of each of the changes. `brightness`, `contrast`, `saturation`: by what share each rises or falls at
    most. `hue`: by what share of the colour circle hues turn at most, up to 0.5. `permute_channels`: probability that
    red, green and blue are exchanged.

    For images of 8 bits, or floats in 0..1, with one channel or three.
    Source: SSD (Liu et al., 2016), section 2.2; torchvision `RandomPhotometricDistort`; detectron2
    `ColorAugSSDTransform`.
    """

    sets_size = None

    def __init__(
        self,
        *,
        probability: Probability = 0.5,
        brightness: _Amount = 0.125,
        contrast: _Amount = 0.5,
        saturation: _Amount = 0.5,
        hue: Annotated[float, Range(0.0, 0.5)] = 0.05,
        permute_channels: Probability = 0.0,
    ) -> None:
        self.probability = probability
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.permute_channels = permute_channels

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        image = sample.image
        if image.shape[0] not in (1, 3) or not (image.dtype == torch.uint8 or image.is_floating_point()):
            raise ContractError(
                f"colour_jitter changes colours of 8 bits, or floats in 0..1, of 1 or 3 channels; this image has "
                f"{image.shape[0]} of type {str(image.dtype).removeprefix('torch.')}. Leave the step out."
            )
        contrast_first = happens(0.5)
        image = self._changed(image, functional.adjust_brightness, self.brightness)
        if contrast_first:
            image = self._changed(image, functional.adjust_contrast, self.contrast)
        if image.shape[0] == 3:
            image = self._changed(image, functional.adjust_saturation, self.saturation)
            if self.hue and happens(self.probability):
                image = functional.adjust_hue(image, uniform(-self.hue, self.hue))
        if not contrast_first:
            image = self._changed(image, functional.adjust_contrast, self.contrast)
        if happens(self.permute_channels):
            image = image[torch.randperm(image.shape[0])]
        return replace(sample, image=image)

    def _changed(self, image: Tensor, adjust: Callable[[Tensor, float], Tensor], amount: float) -> Tensor:
        return adjust(image, uniform(1 - amount, 1 + amount)) if happens(self.probability) else image


class RandomErasing:
    """A rectangle of the mean colour over the image; targets stay as they are.

    `probability`: of the rectangle. `smallest_share`, `largest_share`: bounds of its share of the image's area.
    `aspect_ratio`: bounds of its height by its width.

    Source: Zhong et al., "Random Erasing Data Augmentation" (2017); torchvision `RandomErasing`.
    """

    sets_size = None

    def __init__(
        self,
        *,
        probability: Probability = 0.25,
        smallest_share: _Share = 0.02,
        largest_share: _Share = 0.33,
        aspect_ratio: tuple[Annotated[float, Range(0.01, 100.0)], Annotated[float, Range(0.01, 100.0)]] = (0.3, 3.3),
    ) -> None:
        self.probability = probability
        shares = smallest_share, max(smallest_share, largest_share)
        self._draw = v2.RandomErasing(scale=shares, ratio=(min(aspect_ratio), max(aspect_ratio)))

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        if not happens(self.probability):
            return sample
        found = self._draw.make_params([sample.image])
        if found["v"] is None:  # no rectangle of these bounds was found in ten attempts
            return sample
        top, left, height, width = (int(found[key]) for key in ("i", "j", "h", "w"))
        image = sample.image.clone()
        image[:, top : top + height, left : left + width] = mean_colour(sample.image)
        return replace(sample, image=image)
