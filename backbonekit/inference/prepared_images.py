"""Image files read and prepared by threads, beside the model that the calling thread runs."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.processor import ImageProcessor

_MOST_WORKERS = 8  # by default: a disk and the Python interpreter serve no more
_AHEAD = 4  # images a worker prepares before the model has taken one


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One file: `values` [channels, height, width] and where they come from in the image, or why there are none."""

    index: int
    file: Path
    values: Tensor | None = None
    geometry: Geometry | None = None
    error: StorageError | ContractError | None = None


def default_workers() -> int:
    """As many threads as the machine has processors, at most eight."""
    return min(_MOST_WORKERS, os.cpu_count() or 1)


def prepared_images(processor: ImageProcessor, files: Iterable[Path], workers: int) -> Iterator[PreparedImage]:
    """The files in order, numbered from 0; at most a few for each of `workers` threads are in memory."""
    numbered = enumerate(files)
    with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        waiting: deque[Future[PreparedImage]] = deque(
            pool.submit(_prepared, processor, *item) for item in islice(numbered, workers * _AHEAD)
        )
        try:
            while waiting:
                ready = waiting.popleft().result()
                waiting.extend(pool.submit(_prepared, processor, *item) for item in islice(numbered, 1))
                yield ready
        finally:
            for future in waiting:
                future.cancel()


def _prepared(processor: ImageProcessor, index: int, file: Path) -> PreparedImage:
    try:
        (values,), (geometry,) = processor.prepare_each([file])
    except (StorageError, ContractError) as error:
        return PreparedImage(index, file, error=error)
    return PreparedImage(index, file, values, geometry)
