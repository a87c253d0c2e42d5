"""Tensors that are known but not read, from memory or from a safetensors file.

The file is mapped into memory: a tensor costs nothing until it is touched.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backbonekit.errors import StorageError, WeightsError
from backbonekit.weights.untrusted_files import open_regular, parse_json

MAX_TENSORS = 50_000  # the largest published vision models have some 5,000; 200,000 empty ones take the parser 16 s
_MAX_HEADER = 16 * 2**20  # bytes; 50,000 entries of 300 bytes

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}

CONVERT = (
    "pickled weights are not opened, because a pickle can run code. If you trust where it came from, convert it once:"
    " `backbonekit convert FILE DIR`."
)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Shape and dtype are known now; `load` reads it. `stored_as`: its names in the file, for error messages.

    `read_into`: reads it into a contiguous tensor of that shape and type, without keeping any of the file in memory.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    stored_as: tuple[str, ...] = ()
    read_into: Callable[[Tensor], None] | None = None

    def copy_to(self, target: Tensor) -> None:
        """`target`: contiguous, of this shape."""
        if self.read_into is not None and target.dtype == self.dtype:
            self.read_into(target)
        else:
            target.copy_(self.load())


def stored(name: str, tensor: Tensor) -> StoredTensor:
    """A tensor that is in memory already, in the same form."""
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor, (name,))


def stand_in() -> StoredTensor:
    """An empty one, for a tensor that a checkpoint lacks and that filling is to adapt."""
    return StoredTensor((0,), torch.float32, lambda: torch.empty(0))


def read_safetensors(path: Path, *, shown: str | None = None) -> dict[str, StoredTensor]:
    """Every tensor of a file by name, unread. Raises WeightsError for a malformed file, StorageError for a missing one.

    `shown`: the file's name in error messages.
    """
    name = shown or str(path)
    header, start = _header(path, name)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise WeightsError(f"{name} lists {len(header):,} tensors; at most {MAX_TENSORS:,} are read.")
    try:
        handle: Any = safe_open(path, framework="pt").__enter__()
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{name} is no valid safetensors file: {error}. Download or save it again.") from error
    source = _Source(path, start, handle, name)
    return {key: _entry(source, key, header[key]) for key in header}


@dataclass(frozen=True, slots=True)
class _Source:
    """A file whose numbers begin at byte `start`, mapped by `handle`; `name` is for error messages."""

    path: Path
    start: int
    handle: Any
    name: str


def _header(path: Path, name: str) -> tuple[dict[str, Any], int]:
    """The file's header (name, type, shape and offsets of each tensor) and the byte at which the data begins."""
    # Read here first because the parser lets a repeated key pass and takes any number of tensors.
    try:
        with open_regular(path, shown=name) as file:
            # A file of the system has size 0, and reading it may wait for ever.
            start = file.read(min(8, os.fstat(file.fileno()).st_size))
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            # A pickle's 0x80 is also the low byte of one plausible header length in 32.
            is_plausible = 2 <= length <= _MAX_HEADER
            if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and not is_plausible):
                raise WeightsError(f"{name} is a pickled file, not safetensors; {CONVERT}")
            if not is_plausible:
                raise WeightsError(
                    f"{name} is no valid safetensors file: it announces a header of {length:,} bytes"
                    f" (2 to {_MAX_HEADER:,} are read)."
                )
            text = file.read(length)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{name} could not be read: {error.strerror}.") from error
    if len(text) < length:
        raise WeightsError(f"{name} is cut off within its header. Download or save it again.")
    try:
        return parse_json(text.decode("utf-8"), shown=f"The header of {name}"), 8 + length
    except (UnicodeDecodeError, StorageError) as error:
        raise WeightsError(f"{name} is no valid safetensors file: {error}") from error


def _entry(source: _Source, key: str, described: Any) -> StoredTensor:
    name = source.name
    dtype = _DTYPES.get(described["dtype"])
    if dtype is None:
        raise WeightsError(
            f"{name}: tensor {key!r} is of type {described['dtype']}; these are read: {', '.join(_DTYPES)}."
        )
    handed_out = False

    def load() -> Tensor:
        nonlocal handed_out
        try:
            tensor = source.handle.get_tensor(key)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise WeightsError(f"{name}: tensor {key!r} could not be read: {error}.") from error
        # The mapping is shared by all tensors of this handle. Two models filled from it must not train each other.
        if handed_out:
            return tensor.clone()
        handed_out = True
        return tensor

    def read_into(target: Tensor) -> None:
        # Read through the memory map, its pages would stay in memory as long as any tensor of the file.
        numbers = target.view(-1).view(torch.uint8).numpy()
        try:
            with source.path.open("rb") as file:
                file.seek(source.start + described["data_offsets"][0])
                count = file.readinto(numbers.data) if numbers.size else 0
        except OSError as error:
            raise WeightsError(f"{name}: tensor {key!r} could not be read: {error.strerror}.") from error
        if count != numbers.size:
            raise WeightsError(f"{name} is cut off within the tensor {key!r}. Download or save it again.")

    return StoredTensor(tuple(described["shape"]), dtype, load, (key,), read_into)
