"""Feature maps in the colours of their principal components, and attention, beside the image that they are of."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from backbonekit.contract.features import Level
from backbonekit.contract.looking import BASES, Basis
from backbonekit.contract.maps import FeatureMaps
from backbonekit.errors import ContractError, nearest
from backbonekit.image_processing.pixels import ImageLike, to_image
from backbonekit.visualization.colours import ramp
from backbonekit.visualization.overview import overview
from backbonekit.visualization.text import line_width

Extent = tuple[float, float, float, float]
"""The part of a map that lies over the image: top, bottom, left, right, in [0, 1] of the map's height and width."""
_WHOLE: Extent = (0.0, 1.0, 0.0, 1.0)
_TAILS = (0.01, 0.99)  # shares: one wild position must not take all the contrast
_SHOWN = 480  # pixels, the longer side of each tile


def draw_features(
    maps: FeatureMaps | Sequence[Tensor] | Tensor,
    image: ImageLike,
    *,
    levels: Sequence[Level] | None = None,
    basis: Basis = "level",
    bands: Sequence[int] | None = None,
    extents: Sequence[Extent] | None = None,
    title: str = "image",
) -> Image.Image:
    """The image, and beside it each map in three colours: red, green and blue are its first three principal components.

    `maps`: of one image, [channels, height, width] or [1, channels, height, width] each, as
    `model.embed(image, pool="none")[0]` returns them. `levels`: their titles, as `model.features.levels`. `basis`: the
    components of each `level` by itself, or one `shared` basis, in which equal colours are equal features on all
    levels; it requires maps of equal channels. `bands`: as `draw` has them. `extents`: of each map, the part
    that lies over the image, where the rest lies over padding; None: all of it. `title`: over the image.
    Raises ContractError for maps that are no maps of one image.
    """
    shown = to_image(image, bands)
    given = _listed(maps)
    if levels is not None and len(levels) != len(given):
        raise ContractError(f"{len(given)} maps and {len(levels)} levels: there is one level for each map.")
    if extents is not None and len(extents) != len(given):
        raise ContractError(f"{len(given)} maps and {len(extents)} extents: there is one extent for each map.")
    tiles = [
        _over(Image.fromarray(colours), shown.size, extent)
        for colours, extent in zip(feature_colours(given, basis=basis), extents or [_WHOLE] * len(given), strict=True)
    ]
    names = [_shape(each) for each in given] if levels is None else [level_title(level) for level in levels]
    return overview([_enlarged(tile) for tile in (shown, *tiles)], titles=[title, *names], largest=_SHOWN)


def level_title(level: Level) -> str:
    """stage3, stride 16, 384 channels"""
    return f"{level.name}, stride {level.stride:g}, {level.channels} channels"


def feature_colours(maps: Sequence[Tensor], *, basis: Basis = "level") -> list[np.ndarray]:
    """uint8 [height, width, 3] for each map [channels, height, width]. See `draw_features`."""
    if basis not in BASES:
        raise ContractError(f"basis={basis}: no basis is called so; {nearest(basis, BASES)}")
    # [channels, height, width] -> [height * width, channels]
    positions = [each.detach().double().cpu().flatten(1).T.nan_to_num(0.0, 0.0, 0.0) for each in maps]
    if basis == "level":
        projected = [_scaled(_components(each)) for each in positions]
    else:
        channels = {each.shape[1] for each in positions}
        if len(channels) > 1:
            listed = ", ".join(str(each.shape[0]) for each in maps)
            raise ContractError(
                f"basis=shared: one basis is of maps with equal channels; these have {listed}. The fix: basis=level, "
                "or the levels of a plain vision transformer."
            )
        together = _scaled(_components(torch.cat(positions)))
        projected = list(together.split([len(each) for each in positions]))
    return [
        (colours * 255).round().to(torch.uint8).unflatten(0, tuple(each.shape[1:])).numpy()
        for colours, each in zip(projected, maps, strict=True)
    ]


def draw_attention(
    image: Image.Image,
    weights: Tensor,
    *,
    extent: Extent = _WHOLE,
    point: tuple[int, int] | None = None,
) -> Image.Image:
    """Attention weights [height, width] over the image, dark violet for the least and bright yellow for the most.

    `image`: upright, RGB. `extent`: as `draw_features` has it. `point`: (x, y)
    in pixels of the position that attends, marked by a ring.
    """
    shown = _enlarged(image)
    values = weights.detach().float().cpu()
    low, high = torch.quantile(values.flatten(), torch.tensor(_TAILS))
    values = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    heat = Image.fromarray(ramp()[(values * 255).round().to(torch.uint8).numpy()])
    heat = _over(heat, shown.size, extent, Image.Resampling.BILINEAR)
    drawn = Image.blend(shown.convert("L").convert("RGB"), heat, 0.65)
    if point is not None:
        scale = shown.width / image.width
        x, y = point[0] * scale, point[1] * scale
        radius, width = 5 * line_width(shown.size) + 3, line_width(shown.size) + 1
        drawing = ImageDraw.Draw(drawn)
        drawing.ellipse((x - radius, y - radius, x + radius, y + radius), outline="black", width=width + 2)
        drawing.ellipse((x - radius, y - radius, x + radius, y + radius), outline="white", width=width)
    return drawn


def _listed(maps: FeatureMaps | Sequence[Tensor] | Tensor) -> list[Tensor]:
    every = maps.maps if isinstance(maps, FeatureMaps) else [maps] if isinstance(maps, Tensor) else maps
    listed = [each[0] if isinstance(each, Tensor) and each.ndim == 4 and len(each) == 1 else each for each in every]
    wrong = [each for each in listed if not isinstance(each, Tensor) or each.ndim != 3 or each.numel() == 0]
    if wrong or not listed:
        given = "none" if not listed else _shape(wrong[0]) if isinstance(wrong[0], Tensor) else type(wrong[0]).__name__
        raise ContractError(
            f"maps of one image are drawn, [channels, height, width] each; given: {given}. The fix: "
            'maps=model.embed(image, pool="none")[0].'
        )
    return listed


def _components(positions: Tensor) -> Tensor:
    """[positions, 3]: each position along the first three principal axes; 0 along those that there are not.

    Of the two matrices of inner products, of channels and of positions, the smaller one is decomposed. An axis points
    to where its largest coordinate is positive, so that two runs have the same colours.
    """
    centred = positions - positions.mean(dim=0)
    count, channels = centred.shape
    if channels <= count:
        axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -3:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        axes = (centred.T @ vectors[:, -3:]).flip(1)
        lengths = axes.norm(dim=0)
        # What is left of an axis along which nothing varies is rounding.
        axes = torch.where(lengths > 1e-6 * values[-1:].clamp(min=0).sqrt(), axes / lengths.clamp(min=1e-300), 0.0)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    found = centred @ (axes * torch.where(largest < 0, -1.0, 1.0))
    return torch.nn.functional.pad(found, (0, 3 - found.shape[1]))


def _scaled(components: Tensor) -> Tensor:
    """In [0, 1]: the middle 98 % of each component. One that does not vary is 0.5."""
    tails = torch.tensor(_TAILS, dtype=components.dtype)
    # Quantiles of at most 16 million values; a map of more is thinned.
    low, high = components[:: -(-len(components) // 100_000)].quantile(tails, dim=0)
    span = high - low
    varies = span > 1e-9 * components.abs().max().clamp(min=1e-300)
    scaled = ((components - low) / torch.where(varies, span, 1.0)).clamp(0, 1)
    return torch.where(varies, scaled, 0.5)


def _over(
    tile: Image.Image,
    size: tuple[int, int],
    extent: Extent,
    resampling: Image.Resampling = Image.Resampling.NEAREST,
) -> Image.Image:
    """The part of a map's tile that lies over the image, in the image's size."""
    top, bottom, left, right = extent
    box = (left * tile.width, top * tile.height, right * tile.width, bottom * tile.height)
    return tile.resize(size, resampling, box=box)


def _enlarged(image: Image.Image) -> Image.Image:
    """At least as large as it is shown: a thumbnail's cells and titles are to be seen too."""
    scale = _SHOWN / max(image.size)
    if scale <= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST)


def _shape(each: Tensor) -> str:
    return " x ".join(map(str, each.shape))
