"""The features of some files as rows, in the order of the files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.assembly.embed import Embedder, batches_of_one_size, embed_batch
from backbonekit.assembly.inference import evaluating
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.inference.prepared_images import PreparedImage, prepared_images

COLUMN = "features"
PREFIX = "prefix_tokens"
Counted = Callable[[int], object]  # called with how many more images are done


@dataclass(slots=True)
class Rows:
    """`names`: of the files that have a row. `columns`: for each row one tensor by column: [channels], or of whole maps
    [channels, height, width] and prefix tokens [tokens, channels]. `failed`: (name, why) of the files that have none.
    """

    names: list[str] = field(default_factory=list)
    columns: list[dict[str, Tensor]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def column_names(features: FeaturePyramid) -> list[str]:
    """`features`, or of several levels `features.LEVEL` each."""
    if len(features.levels) == 1:
        return [COLUMN]
    return [f"{COLUMN}.{level.name}" for level in features.levels]


def feature_rows(
    model: Any,
    files: Sequence[Path],
    *,
    pool: str,
    dtype: torch.dtype,
    batch_size: int,
    workers: int,
    counted: Counted = lambda _: None,
) -> Rows:
    """The rows of `files`. `dtype`: of the numbers. `batch_size`: images of one size that run together. `workers`:
    threads that read and prepare. What cannot be read, or not be prepared, is listed as failed."""
    names = column_names(model.features)
    found: list[dict[str, Tensor] | None] = [None] * len(files)
    failed: dict[int, str] = {}
    with evaluating(model):
        images = _readable(prepared_images(model.processor, files, workers), failed, counted)
        for batch in batches_of_one_size(images, batch_size):
            for index, row in _of_batch(model, batch, pool, failed):
                found[index] = {
                    column: tensor.to(dtype) for column, tensor in _columns(names, row).items() if tensor is not None
                }
            counted(len(batch))
    kept = [index for index, row in enumerate(found) if row is not None]
    return Rows(
        [files[index].name for index in kept],
        [found[index] for index in kept],  # type: ignore[misc]
        [(files[index].name, failed[index]) for index in sorted(failed)],
    )


def _readable(
    images: Iterator[PreparedImage], failed: dict[int, str], counted: Counted
) -> Iterator[tuple[int, Tensor, Geometry]]:
    for image in images:
        if image.values is None or image.geometry is None:
            failed[image.index] = str(image.error)
            counted(1)
        else:
            yield image.index, image.values, image.geometry


def _of_batch(
    model: Embedder, batch: Sequence[tuple[int, Tensor, Geometry]], pool: str, failed: dict[int, str]
) -> Iterator[tuple[int, tuple[Tensor, ...] | FeatureMaps]]:
    try:
        rows = embed_batch(model, [values for _, values, _ in batch], [geometry for _, _, geometry in batch], pool)
    except ContractError as error:  # a size that the architecture cannot take, which all of the batch have
        failed.update({index: str(error) for index, _, _ in batch})
        return
    for (index, _, _), row in zip(batch, rows, strict=True):
        yield index, row


def _columns(names: Sequence[str], row: tuple[Tensor, ...] | FeatureMaps) -> dict[str, Tensor | None]:
    if not isinstance(row, FeatureMaps):
        return dict(zip(names, row, strict=True))
    prefixes = {f"{name}.{PREFIX}": tokens for name, tokens in zip(names, row.prefix_tokens, strict=False)}
    return {**dict(zip(names, row.maps, strict=True)), **prefixes}
