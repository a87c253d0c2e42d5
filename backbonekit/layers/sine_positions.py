"""Sine and cosine position embeddings of feature maps.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), appendix A.4;
github.com/facebookresearch/detr, models/position_encoding.py.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels
from backbonekit.errors import ContractError


class SinePositions(nn.Module):
    """Position embeddings: row and column, half of the channels each, as sines and cosines of decreasing frequency.

    Rows and columns are counted from 1 and scaled so that the image's far end, without its padding, is 2 pi; so
    positions are relative to the image and not to the canvas.
    `channels`: of the result; an even number. `temperature`: a larger one lowers the lowest frequency. `offset`:
    subtracted from every count; with 0.5 positions are pixel centres, as in Deformable DETR.
    """

    def __init__(self, channels: Channels, *, temperature: float = 10_000.0, offset: float = 0.0) -> None:
        super().__init__()
        if channels % 2:
            raise ContractError(
                f"channels={channels}: sine positions require an even number; the next is {channels + 1}."
            )
        self.channels = channels
        self.temperature = temperature
        self.offset = offset

    def forward(
        self,
        maps: Float[Tensor, "batch _ height width"],
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "#batch channels height width"]:
        """Batch of 1 without a mask, since all images then have the same positions. `mask`: False in the padding."""
        height, width = maps.shape[-2:]
        # Low-precision types cannot count to the width of a map; float64 stays float64.
        dtype = torch.promote_types(maps.dtype, torch.float32)
        if mask is None:
            # rows, columns: [1, height, width]
            rows = torch.arange(1, height + 1, dtype=dtype, device=maps.device)[None, :, None].expand(1, height, width)
            columns = torch.arange(1, width + 1, dtype=dtype, device=maps.device)[None, None, :].expand(
                1, height, width
            )
        else:
            rows, columns = mask.to(dtype).cumsum(1), mask.to(dtype).cumsum(2)
        rows = (rows - self.offset) / (rows[:, -1:, :] + 1e-6) * (2 * math.pi)
        columns = (columns - self.offset) / (columns[:, :, -1:] + 1e-6) * (2 * math.pi)
        waves = torch.cat((self._waves(rows), self._waves(columns)), dim=-1)
        return waves.permute(0, 3, 1, 2).to(maps.dtype)

    def _waves(self, angles: Tensor) -> Tensor:
        """[batch, height, width] -> [batch, height, width, channels / 2], sines and cosines alternating."""
        count = self.channels // 2
        pair = torch.arange(count, device=angles.device, dtype=torch.int64).div(2, rounding_mode="floor")
        angles = angles[..., None] / self.temperature ** (2 * pair.to(angles.dtype) / count)
        return torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-2)
