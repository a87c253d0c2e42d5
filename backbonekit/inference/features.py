"""The features of many image files into one file: in parts that a killed run leaves whole, in flat memory."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from backbonekit.assembly.embed import IMAGES_IN_A_BATCH, check_pool
from backbonekit.assembly.placement import read_dtype
from backbonekit.errors import RecipeError, StorageError
from backbonekit.inference.feature_files import write_features
from backbonekit.inference.feature_rows import Counted, Rows, feature_rows
from backbonekit.inference.file_formats import file_faults
from backbonekit.inference.parts import Parts, write_part
from backbonekit.inference.prepared_images import default_workers
from backbonekit.inference.ray_engine import over_cluster

Engine = Literal["local", "ray"]
_ROWS_IN_A_PART = 1_000
_ROWS_OF_AN_ACTOR = 250  # in a part, which is what an actor that is lost has to do again
_MAPS_IN_A_PART = 50  # of DINOv2-S at 224 pixels 0.4 MB each, of the last of ResNet-50 at 800 pixels 5 MB
_PROBED = 256  # values of each weight, which tell one model from another


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """`rows`: in the file. `resumed`: how many of the images an earlier run had done. `failed`: (name, why) of the
    images without a row."""

    rows: int
    resumed: int
    failed: list[tuple[str, str]]


def features_of_files(
    model: Any,
    files: Sequence[Path],
    output: Path,
    *,
    pool: str = "mean",
    dtype: str = "float32",
    batch_size: int = IMAGES_IN_A_BATCH,
    workers: int | None = None,
    overwrite: bool = False,
    engine: Engine = "local",
    counted: Counted = lambda _: None,
) -> FeatureReport:
    """Writes `output`, one row an image in the order of `files`, and returns what came of them.

    `pool`: see `assembly/embed.py: embed`. `dtype`: of the numbers in the file. `batch_size`: images of one size that
    run together. `workers`: threads that read and prepare beside the model; None: one a processor, at most eight.
    `overwrite`: whether a file that is there may be replaced, and the parts of an interrupted run thrown away.
    `engine`: `local`, or `ray` for the machines of a Ray cluster, where `workers` are actors, which write the parts:
    `ray_engine.py`.
    `counted` is called with how many more images are done. Nothing is written where no image has a row. Raises
    StorageError, ContractError, RecipeError.
    """
    check_pool(model, pool)
    faults = file_faults(str(output), dtype)
    if faults:
        raise RecipeError(faults)
    if output.exists() and not overwrite:
        raise StorageError(f"{output}: is there already. The fix: another output=, or overwrite=true.")
    whole = _ROWS_OF_AN_ACTOR if engine == "ray" else _ROWS_IN_A_PART
    size = _MAPS_IN_A_PART if pool == "none" else whole
    parts = Parts(output, _plan(model, files, pool, dtype, engine, size), afresh=overwrite)
    count = -(-len(files) // size)
    left = [number for number in range(count) if not parts.path(number).is_file()]
    # Another process has another current folder.
    found = [file.absolute() for file in files] if engine == "ray" else files
    shares = [_Share(parts.path(number), found[number * size : (number + 1) * size]) for number in left]
    resumed = len(files) - sum(len(share.files) for share in shares)
    counted(resumed)
    options: dict[str, Any] = {
        "pool": pool,
        "dtype": read_dtype(dtype) or torch.float32,
        "batch_size": batch_size,
    }
    if engine == "ray":
        for done in over_cluster(model, shares, partial(_write_share, options=options), workers=workers):
            counted(done)
    else:
        options |= {"workers": default_workers() if workers is None else workers, "counted": counted}
        for share in shares:
            write_part(share.path, feature_rows(model, share.files, **options))
    rows, failed = 0, []
    for part in _read(parts, count):
        rows += len(part.names)
        failed += part.failed
    if rows:
        write_features(output, lambda: _read(parts, count), pooled=pool != "none")
    parts.remove()
    return FeatureReport(rows, resumed, failed)


@dataclass(frozen=True, slots=True)
class _Share:
    """The files of one part, and where it is written."""

    path: Path
    files: Sequence[Path]


def _write_share(model: Any, share: _Share, *, options: dict[str, Any]) -> int:
    """Writes a part in an actor. Returns the number of its files."""
    write_part(share.path, feature_rows(model, share.files, **options, workers=1))
    return len(share.files)


def _read(parts: Parts, count: int) -> Iterator[Rows]:
    return (parts.read(number) for number in range(count))


def _plan(
    model: Any, files: Sequence[Path], pool: str, dtype: str, engine: Engine, rows_in_a_part: int
) -> dict[str, Any]:
    """All that decides the rows of a run, and which of them are in a part."""
    return {
        "model": _fingerprint(model),
        "images": _listing(files),
        "pool": pool,
        "dtype": dtype,
        "engine": engine,
        "rows in a part": rows_in_a_part,
    }


def _fingerprint(model: nn.Module) -> str:
    """The processing, the levels and the first values of each weight."""
    embedder: Any = model
    words = f"{embedder.processor.processing} {embedder.features}"
    checksum = zlib.crc32(words.encode())
    for name, tensor in model.state_dict().items():
        values = tensor.detach().flatten()[:_PROBED].to("cpu", torch.float64)
        checksum = zlib.crc32(values.numpy().tobytes(), zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"


def _listing(files: Sequence[Path]) -> str:
    """Names, sizes and times of change of the files."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
