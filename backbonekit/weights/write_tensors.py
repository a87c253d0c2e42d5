"""Writes tensors to safetensors files; equal tensors are written as equal bytes."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from backbonekit.errors import ContractError, StorageError, WeightsError
from backbonekit.weights.checkpoint import INDEX, WEIGHTS

MAX_SHARD_BYTES = 5 * 10**9  # what the Hub and transformers cut files at

# One entry only: safetensors writes several in an order that changes from run to run.
_METADATA = {"format": "pt"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([KMGT]?)B", re.IGNORECASE)


def save_tensors(
    folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int = MAX_SHARD_BYTES
) -> tuple[str, ...]:
    """Writes `model.safetensors`, or shards and their index above `max_shard_bytes`; returns the weight files' names.

    Of tensors that are one and the same, the first by name is written; filling ties them again. Raises WeightsError for
    a tensor without values, StorageError where the folder cannot be written.
    """
    empty = [name for name, tensor in tensors.items() if tensor.is_meta]
    if empty:
        raise WeightsError(
            f"{len(empty)} tensors have no values to save (the first is {empty[0]!r}): fill the model first."
        )
    shards = list(_shards(_without_duplicates(tensors), max_shard_bytes))
    try:
        if len(shards) == 1:
            _save(folder / WEIGHTS, shards[0])
            return (WEIGHTS,)
        names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
        for name, shard in zip(names, shards, strict=True):
            _save(folder / name, shard)
        index = {
            "metadata": {"total_size": sum(_size(tensor) for shard in shards for tensor in shard.values())},
            "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise StorageError(f"The weights could not be written to {folder}: {error}.") from error
    return tuple(names)


def shard_bytes(size: int | str) -> int:
    """The largest size of a weight file, given in bytes or as text such as `500MB`. Raises ContractError otherwise."""
    found = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if found is not None:
        return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))
    if isinstance(size, str | bool) or size <= 0:
        raise ContractError(f"max_shard_size={size!r} is no size: a number of bytes, or text such as 500MB or 5GB.")
    return size


def save_file_of(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes one safetensors file. Raises StorageError."""
    try:
        _save(path, tensors)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} could not be written: {error}.") from error


def _without_duplicates(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[tuple[object, ...], str] = {}
    for name in sorted(tensors):
        tensor = tensors[name]
        # An empty tensor has no address, so it is never a duplicate.
        address = tensor.data_ptr() if tensor.numel() else name
        found.setdefault((address, tensor.device, tensor.dtype, tensor.shape, tensor.stride()), name)
    return {name: tensors[name] for name in found.values()}


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if shard and size + _size(tensor) > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += _size(tensor)
    yield shard


def _save(path: Path, shard: Mapping[str, Tensor]) -> None:
    # Tensors that overlap without being the same (slices of one table) are each copied.
    seen: set[int] = set()
    plain: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, tensor in shard.items():
            one = tensor.detach().cpu().contiguous()
            storage = one.untyped_storage()
            if storage.data_ptr() in seen or storage.nbytes() != _size(one):
                one = one.clone()
            seen.add(one.untyped_storage().data_ptr())
            plain[name] = one
    path.touch()
    mode = path.stat().st_mode  # from the umask; safetensors writes files that only their owner can read
    save_file(plain, path, metadata=_METADATA)
    path.chmod(mode)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
