"""Parts of PVT v2 that stay in one layout, [batch, height, width, channels], and take a map alone."""

from timm.models.pvt_v2 import Block, OverlapPatchEmbed
from torch import Tensor


class MapBlock(Block):
    """timm's block, which works on tokens and is told the map's size."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x: [batch, height, width, channels]. The same shape."""
        size = (x.shape[1], x.shape[2])
        return super().forward(x.flatten(1, 2), size).unflatten(1, size)  # type: ignore[arg-type]


class MapPatchEmbed(OverlapPatchEmbed):
    """timm's overlapping patches, of a map in the layout that it gives itself."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The map of the next stage, in the same layout."""
        return super().forward(x.permute(0, 3, 1, 2))
