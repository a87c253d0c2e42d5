"""Images through a backbone to features: one vector an image and level, or the maps themselves."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from backbonekit.assembly.inference import evaluating, on_model
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.pooling import POOLS, Pool
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.image_processing.processor import ImageProcessor, listed
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.pooling import pool_map
from backbonekit.postprocessing.window import cells_of

IMAGES_IN_A_BATCH = 32


class Embedder(Protocol):
    """A composed model, or a backbone under one of transformers' names. `features`: the levels that `extract`
    returns."""

    @property
    def processor(self) -> ImageProcessor: ...

    @property
    def features(self) -> FeaturePyramid: ...

    def extract(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> FeatureMaps: ...

    def after_pooling(self, vectors: Tensor, position: int) -> Tensor:
        """Vectors that the map at `position` of `features` was pooled to, normalised where the architecture does so."""
        ...


def embed(
    model: Any,
    images: ImageLike | Sequence[ImageLike],
    *,
    pool: Pool = "mean",
    batch_size: int = IMAGES_IN_A_BATCH,
) -> Tensor | list[FeatureMaps]:
    """The features of images of any kind that the processor reads, float32 on the CPU.

    `pool`: what makes one vector of a map: `cls`, the class token; `mean`, `max`, or `gem`, the generalised mean, over
    its positions; or `none`. Returns [images, channels], the channels of several levels side by side, fine to coarse;
    with `none` for each image its `FeatureMaps`: maps [channels, height, width] without padding, and prefix tokens
    [tokens, channels] where there are any. `batch_size`: images of one size that run together; no result depends on it
    but for rounding. Raises ContractError for a level without class token, RecipeError, StorageError.
    """
    check_pool(model, pool)
    if batch_size < 1:
        raise RecipeError(f"batch_size={batch_size}: a batch has at least 1 image.")
    every = listed(images)
    found: list[Any] = [None] * len(every)
    prepared = ((index, *model.processor.prepare_each([image])) for index, image in enumerate(every))
    items = ((index, values[0], geometries[0]) for index, values, geometries in prepared)
    with evaluating(model):
        for batch in batches_of_one_size(items, batch_size):
            results = embed_batch(
                model, [values for _, values, _ in batch], [geometry for _, _, geometry in batch], pool
            )
            for (index, _, _), result in zip(batch, results, strict=True):
                found[index] = result
    if pool == "none":
        return found
    return torch.stack([torch.cat(levels) for levels in found])


def check_pool(model: Embedder, pool: str) -> None:
    """Raises RecipeError for an unknown pooling, ContractError where there is no class token."""
    if pool not in POOLS:
        raise RecipeError(f"pool={pool}: no pooling is called so; {nearest(pool, POOLS)}")
    if pool != "cls":
        return
    levels = model.features.levels
    lacking = [level.name for level in levels if not level.prefix_tokens or not level.has_class_token]
    if lacking:
        raise ContractError(
            f"pool=cls: {lacking[0]} has no class token. The fix: pool=mean, max or gem; or a plain vision transformer,"
            " such as backbone=dinov2_small."
        )


def batches_of_one_size(
    items: Iterable[tuple[Any, Tensor, Geometry]], batch_size: int
) -> Iterator[list[tuple[Any, Tensor, Geometry]]]:
    """Items of (anything, prepared image, geometry), together where the images have one size, at most `batch_size`.

    Not in the order given. At most four batches of items are held: then the fullest group goes, though it is smaller.
    """
    groups: dict[tuple[int, ...], list[tuple[Any, Tensor, Geometry]]] = {}
    held = 0
    for item in items:
        size = tuple(item[1].shape)
        group = groups.setdefault(size, [])
        group.append(item)
        held += 1
        if len(group) == batch_size:
            yield groups.pop(size)
            held -= batch_size
        elif held >= 4 * batch_size:
            fullest = groups.pop(max(groups, key=lambda one: len(groups[one])))
            held -= len(fullest)
            yield fullest
    yield from groups.values()


def embed_batch(
    model: Embedder, values: Sequence[Tensor], geometries: Sequence[Geometry], pool: str
) -> list[tuple[Tensor, ...] | FeatureMaps]:
    """For each prepared image what `embed` returns for it, by level: vectors [channels], or `FeatureMaps`."""
    batch, placed = model.processor.pad(values, geometries)
    pixel_values, pixel_mask = on_model(model, batch)
    with torch.inference_mode():
        maps = model.extract(pixel_values, pixel_mask)
        if pool == "none":
            return _apart(maps, placed)
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
        vectors = [pooled(model, maps, position, canvas, pool).cpu() for position in range(len(maps.maps))]
    # Inference tensors cannot be used in autograd; a copy made outside can.
    return [tuple(level[index].clone() for level in vectors) for index in range(len(values))]


def pooled(model: Embedder, maps: FeatureMaps, position: int, canvas: Canvas, pool: str) -> Tensor:
    """[batch, channels] of one level, at least float32. `pool`: any but none."""
    feature_map = maps.maps[position]
    if pool == "cls":
        tokens = maps.prefix_tokens[position]
        assert tokens is not None  # its level says so
        vectors = tokens[:, 0]
    else:
        mask = canvas.mask_at(feature_map.shape[-2], feature_map.shape[-1])
        vectors = pool_map(feature_map, pool, mask)  # type: ignore[arg-type]
    return upcast_to_float32(model.after_pooling(vectors, position))


def _apart(maps: FeatureMaps, geometries: Sequence[Geometry]) -> list[tuple[Tensor, ...] | FeatureMaps]:
    """The maps of each image, without padding."""
    every = [upcast_to_float32(each).cpu() for each in maps.maps]
    prefixes = [None if each is None else upcast_to_float32(each).cpu() for each in maps.prefix_tokens]
    found: list[tuple[Tensor, ...] | FeatureMaps] = []
    for index, geometry in enumerate(geometries):
        sizes = [cells_of(geometry, (each.shape[-2], each.shape[-1])) for each in every]
        found.append(
            FeatureMaps(
                maps=tuple(
                    each[index, :, :height, :width].clone() for each, (height, width) in zip(every, sizes, strict=True)
                ),
                prefix_tokens=tuple(None if each is None else each[index].clone() for each in prefixes),
            )
        )
    return found
