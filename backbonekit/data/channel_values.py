"""The numbers that the channels of images have: what the processing of a recipe requires for images of other units."""

import numpy as np


class ChannelValues:
    """Range, mean and standard deviation of each channel over all images added, in the images' own units. Numbers that
    are not finite are left out."""

    def __init__(self, num_channels: int) -> None:
        self._count = np.zeros(num_channels)
        self._sum = np.zeros(num_channels)
        self._squares = np.zeros(num_channels)
        self.low, self.high = float("inf"), float("-inf")

    def add(self, image: np.ndarray) -> None:
        """`image`: [height, width, channels]. One of another number of channels is left out."""
        if image.shape[2] != len(self._count):
            return
        pixels = image.reshape(-1, image.shape[2]).astype(np.float64)
        known = np.isfinite(pixels)
        pixels = np.where(known, pixels, 0.0)
        self._count += known.sum(axis=0)
        self._sum += pixels.sum(axis=0)
        self._squares += np.square(pixels).sum(axis=0)
        if known.any():
            self.low = min(self.low, float(pixels[known].min()))
            self.high = max(self.high, float(pixels[known].max()))

    @property
    def mean(self) -> list[float]:
        return (self._sum / np.maximum(self._count, 1)).tolist()

    @property
    def std(self) -> list[float]:
        mean = np.asarray(self.mean)
        return np.sqrt(np.maximum(self._squares / np.maximum(self._count, 1) - mean**2, 0)).tolist()
