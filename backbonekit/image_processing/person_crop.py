"""One person cut out of an image, as models are trained that find the keypoints of one person.

The crop is the person's box, widened to the input's aspect ratio and by a margin. The centres of its outer pixels lie
on the edges of that region. What lies outside the image is black.
Source: Huang et al., "The Devil is in the Details: Delving into Unbiased Data Processing for Human Pose Estimation"
(2020), section 3; transformers/models/vitpose/image_processing_vitpose.py.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

MARGIN = 1.25  # how much larger than its box the region is that the model sees; ViTPose is trained with it


@dataclass(frozen=True, slots=True)
class CropRegion:
    """Where in its image a crop comes from, in pixels. `size`: the crop's own (height, width)."""

    left: float
    top: float
    width: float
    height: float
    size: tuple[int, int]

    def to_image(self, points: Tensor) -> Tensor:
        """x and y [..., 2] in pixels of the crop to pixels of the image; both have the first centre at 0.5."""
        steps = [self.width / max(self.size[1] - 1, 1), self.height / max(self.size[0] - 1, 1)]
        return (points - 0.5) * points.new_tensor(steps) + points.new_tensor([self.left, self.top])


def region_around(box_xyxy: tuple[float, float, float, float], size: tuple[int, int], margin: float) -> CropRegion:
    """The region of a crop of (height, width) `size`. `margin`: how many times as wide and high as need be."""
    left, top, right, bottom = box_xyxy
    ratio = size[1] / size[0]
    width = max(right - left, ratio * (bottom - top)) * margin
    height = max(bottom - top, (right - left) / ratio) * margin
    return CropRegion((left + right - width) / 2, (top + bottom - height) / 2, width, height, size)


def cut_out(pixels: np.ndarray, region: CropRegion) -> np.ndarray:
    """[height, width, channels] of the image -> [*region.size, channels], same dtype, sampled linearly."""
    height, width, _ = pixels.shape
    rows = _sampling_positions(region.top, region.height, region.size[0])
    columns = _sampling_positions(region.left, region.width, region.size[1])
    positions = torch.stack(
        [
            (columns * (2 / max(width - 1, 1)) - 1)[None].expand(region.size),
            (rows * (2 / max(height - 1, 1)) - 1)[:, None].expand(region.size),
        ],
        dim=-1,
    )
    source = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)  # a copy: Pillow's arrays are read-only
    crop = functional.grid_sample(
        source[None], positions[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]
    inside = _within(rows, height)[:, None] & _within(columns, width)[None]
    crop = crop.masked_fill(~inside, 0).permute(1, 2, 0).numpy()
    return np.floor(crop + 0.5).astype(np.uint8) if pixels.dtype == np.uint8 else crop.astype(pixels.dtype)


def _sampling_positions(start: float, length: float, count: int) -> Tensor:
    """Where the crop's pixels are in the image, in pixels whose first centre is at 0."""
    return start - 0.5 + torch.arange(count, dtype=torch.float64) * (length / max(count - 1, 1))


def _within(positions: Tensor, length: int) -> Tensor:
    return (positions >= 0) & (positions <= length - 1)
