"""What a model sees in an image: its feature maps in colours, and what a token, position or query attends to."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from backbonekit.assembly.attention import attention_of
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating, on_model
from backbonekit.contract.features import Level
from backbonekit.contract.looking import Attending, Basis
from backbonekit.contract.processing import Geometry
from backbonekit.image_processing.pixels import ImageLike, to_image
from backbonekit.postprocessing.window import window_of
from backbonekit.visualization.features import Extent, draw_attention, draw_features
from backbonekit.visualization.overview import overview

_MOST_OF_ONE_STRIDE = 4  # a plain transformer has a level for each block; neighbours look alike


def look(
    model: ComposedModel,
    image: ImageLike,
    *,
    basis: Basis = "level",
    attending: Attending | None = None,
    bands: Sequence[int] | None = None,
    title: str = "image",
) -> Image.Image:
    """The part of the image that the model sees, beside each map of its backbone in colours; of a model that ends in a
    neck, beside those of the neck.

    `basis`, `bands`, `title`: as `draw_features` has them. `attending`: as `attention_of` has it; then the attention
    stands beside the image in place of the maps. A model whose weights are random says so in the title. Raises
    ContractError, StorageError.
    """
    if model.weights_warning is not None:
        title = f"{title} ({model.weights_warning})"
    if attending is not None:
        found = attention_of(model, image, attending)
        shown, (left, top) = _seen(image, found.geometry, bands)
        point = None if found.point is None else (found.point[0] - left, found.point[1] - top)
        weights, extent = _on_image(found.weights, found.geometry)
        heat = draw_attention(shown, weights, extent=extent, point=point)
        return overview([shown.resize(heat.size), heat], titles=[title, found.title], columns=2)
    batch, (geometry,) = model.processor.prepare([image])
    values, mask = on_model(model, batch)
    backbone: Any = model.backbone
    ends_in_neck = model.head is None and len(model.neck) > 0  # type: ignore[arg-type]
    with evaluating(model), torch.inference_mode():
        maps = (model.extract(values, mask) if ends_in_neck else backbone(values)).maps
    shown, _ = _seen(image, geometry, bands)
    placed = [_on_image(each[0], geometry) for each in maps]
    return draw_features(
        [each for each, _ in placed],
        shown,
        levels=(model if ends_in_neck else backbone).features.levels,
        basis=basis,
        extents=[extent for _, extent in placed],
        title=title,
    )


def show_every_level(model: ComposedModel) -> None:
    """Lets a backbone return a map of each stride, the deepest of it; of a single stride four, evenly spaced."""
    backbone: Any = model.backbone
    levels: tuple[Level, ...] = backbone.levels
    usable = [index for index in range(backbone.built) if index not in backbone.forbidden]
    by_stride = {levels[index].stride: index for index in usable}
    if len(by_stride) > 1:
        backbone.out_indices = tuple(by_stride.values())
        return
    count = min(_MOST_OF_ONE_STRIDE, len(usable))
    backbone.out_indices = tuple(usable[-1 - (len(usable) * step) // count] for step in reversed(range(count)))


def _seen(image: ImageLike, geometry: Geometry, bands: Sequence[int] | None) -> tuple[Image.Image, tuple[int, int]]:
    """The part of the image that the model sees, and the (left, top) of it."""
    top, bottom, left, right = window_of(geometry, geometry.canvas).box
    return to_image(image, bands).crop((left, top, right, bottom)), (left, top)


def _on_image(values: Tensor, geometry: Geometry) -> tuple[Tensor, Extent]:
    """The cells [..., height, width] of a map that lie on real pixels, and their part over what the model sees."""
    window = window_of(geometry, (values.shape[-2], values.shape[-1]))
    edges = []
    for positions in (window.rows, window.columns):
        first, last = float(positions[0]), float(positions[-1])
        half = (last - first) / max(len(positions) - 1, 1) / 2 or 1.0  # of one pixel
        edges += [min(max((edge + 1) / 2, 0.0), 1.0) for edge in (first - half, last + half)]
    top, bottom, left, right = edges
    return values[..., : window.cells[0], : window.cells[1]], (top, bottom, left, right)
