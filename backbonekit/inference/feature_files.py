"""Rows of features written to one file: Parquet, `.npz` or `.safetensors`, part by part, in flat memory."""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from backbonekit.errors import StorageError
from backbonekit.inference.feature_rows import Rows

FILE = "file"
_TEMPORARY = ".partial"
_SAFETENSORS_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8  # bytes; safetensors fills its header up with spaces

ReadParts = Callable[[], Iterator[Rows]]  # reads every part anew each time that it is called


@dataclass(frozen=True, slots=True)
class _Entry:
    """One array of a file, its values in pieces."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]


def write_features(output: Path, parts: ReadParts, *, pooled: bool) -> None:
    """Writes all rows, or leaves what there was.

    Of pooled rows `.npz` and `.safetensors` have one array [rows, channels] for each column, and the names of the
    files: the array `file`, or JSON under `files` in the metadata. Of maps they have an array for each image and
    column, `NAME/COLUMN`. Parquet has one row an image: `file`, and the columns as lists of numbers; of maps flat ones,
    with the shapes beside them in `COLUMN.shape`. Raises StorageError.
    """
    write = {".parquet": _write_parquet, ".npz": _write_npz, ".safetensors": _write_safetensors}
    with _replacing(output) as temporary:
        write[output.suffix.lower()](temporary, parts, pooled)


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    temporary = output.parent / f".{output.name}{_TEMPORARY}"
    try:
        yield temporary
        os.replace(temporary, output)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{output} cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_parquet(path: Path, parts: ReadParts, pooled: bool) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = _columns(parts)
    schema = _schema(columns, pooled)
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in parts():
            if rows.names:
                writer.write_table(
                    pyarrow.Table.from_arrays(_arrays(rows, schema, list(columns), pooled), schema=schema)
                )


def _schema(columns: dict[str, Tensor], pooled: bool) -> Any:
    import pyarrow

    kinds = {torch.float32: pyarrow.float32(), torch.float16: pyarrow.float16()}
    fields = [pyarrow.field(FILE, pyarrow.string())]
    for name, example in columns.items():
        fields.append(
            pyarrow.field(name, pyarrow.list_(kinds[example.dtype], example.shape[0] if pooled else -1)),
        )
        if not pooled:
            fields.append(pyarrow.field(f"{name}.shape", pyarrow.list_(pyarrow.int32())))
    return pyarrow.schema(fields)


def _arrays(rows: Rows, schema: Any, columns: Sequence[str], pooled: bool) -> list[Any]:
    import pyarrow

    arrays = [pyarrow.array(rows.names, pyarrow.string())]
    for name in columns:
        tensors = [row[name] for row in rows.columns]
        flat = pyarrow.array(torch.cat([tensor.flatten() for tensor in tensors]).numpy())
        if pooled:
            arrays.append(pyarrow.FixedSizeListArray.from_arrays(flat, len(tensors[0])))
            continue
        ends = np.cumsum([0, *(tensor.numel() for tensor in tensors)])
        arrays.append(pyarrow.ListArray.from_arrays(pyarrow.array(ends, pyarrow.int32()), flat))
        arrays.append(pyarrow.array([list(tensor.shape) for tensor in tensors], schema.field(f"{name}.shape").type))
    return arrays


def _write_npz(path: Path, parts: ReadParts, pooled: bool) -> None:
    names = _names(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open(f"{FILE}.npy", "w") as stream:
            np.save(stream, np.array(names))
        for entry in _entries(parts, names, pooled):
            with archive.open(f"{entry.name}.npy", "w", force_zip64=True) as stream:
                kind = np.lib.format.dtype_to_descr(np.dtype(str(entry.dtype).removeprefix("torch.")))
                header = {"descr": kind, "fortran_order": False, "shape": entry.shape}
                np.lib.format.write_array_header_1_0(stream, header)
                _copy(entry, stream)  # type: ignore[arg-type]


def _write_safetensors(path: Path, parts: ReadParts, pooled: bool) -> None:
    names = _names(parts)
    header: dict[str, Any] = {"__metadata__": {"files": json.dumps(names)}}
    start = 0
    for entry in _entries(parts, names, pooled):
        size = int(np.prod(entry.shape)) * entry.dtype.itemsize
        offsets = [start, start + size]
        header[entry.name] = {
            "dtype": _SAFETENSORS_NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": offsets,
        }
        start += size
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % _ALIGNMENT)
    with open(path, "wb") as stream:
        stream.write(len(content).to_bytes(8, "little") + content)
        for entry in _entries(parts, names, pooled):  # read again: whole maps of all images fit into no memory
            _copy(entry, stream)


def _copy(entry: _Entry, stream: BinaryIO) -> None:
    # NumPy has no bfloat16: the bytes are what is written.
    stream.writelines(piece.contiguous().flatten().view(torch.uint8).numpy().tobytes() for piece in entry.pieces())


def _entries(parts: ReadParts, names: Sequence[str], pooled: bool) -> Iterator[_Entry]:
    if pooled:
        for column, example in _columns(parts).items():
            yield _Entry(column, example.dtype, (len(names), *example.shape), _stacked(parts, column))
        return
    for rows in parts():
        for name, row in zip(rows.names, rows.columns, strict=True):
            for column, tensor in row.items():
                yield _Entry(f"{name}/{column}", tensor.dtype, tuple(tensor.shape), _alone(tensor))


def _stacked(parts: ReadParts, column: str) -> Callable[[], Iterator[Tensor]]:
    return lambda: (torch.stack([row[column] for row in rows.columns]) for rows in parts() if rows.columns)


def _alone(tensor: Tensor) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter((tensor,))


def _columns(parts: ReadParts) -> dict[str, Tensor]:
    """The columns by name, with the first row's value of each."""
    return next(dict(rows.columns[0]) for rows in parts() if rows.columns)


def _names(parts: ReadParts) -> list[str]:
    return [name for rows in parts() for name in rows.names]
