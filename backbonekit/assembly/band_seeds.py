"""Which pretrained filters of a backbone's stem each band of the images starts from: `backbone.bands_from`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbonekit.errors import RecipeError
from backbonekit.weights.fill import Adapt


class BandSeeds:
    """A blueprint's `adapt` whose stem has the chosen filters.

    `bands_from`: for each channel of the images the position of a pretrained channel, or None: the mean of all of them.
    The filters are scaled as those of the usual rule, so that the response to equal channels keeps its size.
    """

    def __init__(self, adapt: Adapt, bands_from: Sequence[int | None]) -> None:
        self._adapt = adapt
        self._bands_from = tuple(bands_from)
        self._is_used = False

    def __call__(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        adapted = self._adapt(key, tensor, shape)
        stored = tuple(tensor.shape)
        is_stem = len(stored) == 4 and stored[1] != shape[1] and (stored[0], *stored[2:]) == (shape[0], *shape[2:])
        if adapted is None or not is_stem or shape[1] != len(self._bands_from):
            return adapted
        self._is_used = True
        outside = [band for band in self._bands_from if band is not None and band >= stored[1]]
        if outside:
            raise RecipeError(
                f"backbone.bands_from has {outside[0]}; the pretrained stem has {stored[1]} channels, 0 to "
                f"{stored[1] - 1}."
            )
        kernel = tensor.float()
        mean = kernel.mean(dim=1)
        filters = [mean if band is None else kernel[:, band] for band in self._bands_from]
        shown = ", ".join("the mean" if band is None else str(band) for band in self._bands_from)
        scaled = torch.stack(filters, dim=1) * (stored[1] / shape[1])
        return scaled.to(tensor.dtype), f"bands from the pretrained channels {shown} of {stored[1]}, scaled"

    def check_used(self) -> None:
        """Raises RecipeError where no stem was adapted, so that the choice had no effect."""
        if not self._is_used:
            raise RecipeError(
                "backbone.bands_from has no effect: the weights have no stem of another number of channels than "
                f"backbone.in_channels={len(self._bands_from)}. The fix: leave it out."
            )
