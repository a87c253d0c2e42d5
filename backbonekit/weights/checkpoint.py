"""Weights by name, unread: from one safetensors file, a sharded set, or memory."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.errors import StorageError, WeightsError, nearest
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.stored_tensors import CONVERT, MAX_TENSORS, StoredTensor, read_safetensors, stored
from backbonekit.weights.untrusted_files import user_path

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARDS = 1_000
_SHARD = re.compile(r"[A-Za-z0-9_][\w.\-]{0,200}\.safetensors", re.ASCII)
_PICKLED = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pt2", ".tar", ".npz", ".h5", ".msgpack", ".bin.index.json")


class Checkpoint:
    """Named tensors, each read on access.

    `origin`: where they come from, for people. `commit`: of a Hub repository. `licence`: as its card states it. `base`:
    the files, for a recipe that is saved; None for tensors in memory.
    """

    def __init__(
        self,
        tensors: Mapping[str, StoredTensor],
        *,
        origin: str,
        commit: str | None = None,
        licence: str | None = None,
        base: BaseWeights | None = None,
    ) -> None:
        self.tensors = dict(tensors)
        self.origin = origin
        self.commit = commit
        self.licence = licence
        self.base = base

    def keys(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __contains__(self, key: object) -> bool:
        return key in self.tensors

    def shape(self, key: str) -> tuple[int, ...]:
        return self._entry(key).shape

    def dtype(self, key: str) -> torch.dtype:
        return self._entry(key).dtype

    def stored_as(self, key: str) -> tuple[str, ...]:
        """The names in the file that this tensor is made of: others than `key` after a translation."""
        return self._entry(key).stored_as

    def tensor(self, key: str) -> Tensor:
        """Reads it. Raises WeightsError when the file has become unreadable."""
        return self._entry(key).load()

    def under(self, prefix: str) -> "Checkpoint":
        """The tensors whose names start with `prefix`, named without it."""
        return self.replaced(
            {key[len(prefix) :]: entry for key, entry in self.tensors.items() if key.startswith(prefix)}
        )

    def replaced(self, tensors: Mapping[str, StoredTensor]) -> "Checkpoint":
        """Other tensors from the same origin."""
        return Checkpoint(tensors, origin=self.origin, commit=self.commit, licence=self.licence, base=self.base)

    def _entry(self, key: str) -> StoredTensor:
        try:
            return self.tensors[key]
        except KeyError:
            raise WeightsError(f"{self.origin} has no tensor {key!r}; {nearest(key, self.tensors)}") from None


def checkpoint_of(tensors: Mapping[str, Tensor], *, origin: str) -> Checkpoint:
    """A checkpoint of tensors that are in memory already. Filling assigns these very tensors."""
    return Checkpoint({name: stored(name, tensor) for name, tensor in tensors.items()}, origin=origin)


def open_checkpoint(where: Repository | Path) -> Checkpoint:
    """The weights of a repository or folder (`model.safetensors`, sharded or not) or of one safetensors file.

    Raises WeightsError where they are malformed, or only pickled; StorageError where there are none.
    """
    if isinstance(where, Path):
        where = user_path(where)
        if not where.is_dir():
            return _open_file(where)
        where = open_repository(where)
    if where.has(WEIGHTS):
        tensors = read_safetensors(where.path(WEIGHTS), shown=f"{where.origin}: {WEIGHTS}")
    elif where.has(INDEX):
        tensors = _read_sharded(where)
    else:
        raise _no_weights(where)
    base = base_of(where, weight_files(where))
    return Checkpoint(tensors, origin=where.origin, commit=where.commit, licence=where.licence, base=base)


def base_of(where: Repository, files: Iterable[str]) -> BaseWeights:
    """Files of a repository as what a part starts from."""
    name = "" if where.folder is not None else where.identifier
    return BaseWeights(name, where.commit, {file: where.path(file) for file in files})


def weight_files(where: Repository) -> tuple[str, ...]:
    """The names of the files that `open_checkpoint` reads tensors from."""
    if where.has(WEIGHTS):
        return (WEIGHTS,)
    return tuple(sorted(set(_weight_map(where).values()))) if where.has(INDEX) else ()


def _open_file(path: Path) -> Checkpoint:
    if not path.exists():
        raise StorageError(f"The weights {str(path)!r} do not exist.")
    if path.suffix.lower() != ".safetensors":
        if path.name.lower().endswith(_PICKLED):
            raise WeightsError(f"{path}: {CONVERT}")
        raise WeightsError(f"{path} is no weights file: a .safetensors file or a folder that holds one is expected.")
    return Checkpoint(read_safetensors(path), origin=str(path), base=BaseWeights("", None, {path.name: path}))


def _read_sharded(where: Repository) -> dict[str, StoredTensor]:
    weight_map = _weight_map(where)
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(weight_map.values())):
        if not where.has(shard):
            raise WeightsError(
                f"{where.origin}: the shard {shard!r}, which {INDEX} names, is missing. Download it again."
            )
        for key, entry in read_safetensors(where.path(shard), shown=f"{where.origin}: {shard}").items():
            if weight_map.get(key) != shard:
                listed = f"lists it in {weight_map[key]!r}" if key in weight_map else "does not list it"
                raise WeightsError(f"{where.origin}: {shard} holds the tensor {key!r}, but {INDEX} {listed}.")
            tensors[key] = entry
    absent = [key for key in weight_map if key not in tensors]
    if absent:
        raise WeightsError(
            f"{where.origin}: {INDEX} lists {absent[0]!r} in {weight_map[absent[0]]!r}, which does not hold it"
            f" ({len(absent)} such tensors)."
        )
    return tensors


def _weight_map(where: Repository) -> dict[str, str]:
    weight_map: Any = where.json(INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{where.origin}: {INDEX} has no weight_map of tensor names to files.")
    if len(weight_map) > MAX_TENSORS:
        raise WeightsError(
            f"{where.origin}: {INDEX} lists {len(weight_map):,} tensors; at most {MAX_TENSORS:,} are read."
        )
    for shard in weight_map.values():
        if not isinstance(shard, str) or _SHARD.fullmatch(shard) is None or ".." in shard:
            raise WeightsError(
                f"{where.origin}: {INDEX} names {shard!r}; a shard is a .safetensors file beside its index."
            )
    if len(set(weight_map.values())) > MAX_SHARDS:
        raise WeightsError(f"{where.origin}: {INDEX} names more than {MAX_SHARDS:,} shards.")
    return weight_map


def _no_weights(where: Repository) -> Exception:
    pickled = sorted(name for name in where.files if name.lower().endswith(_PICKLED))
    if pickled:
        return WeightsError(f"{where.origin} has no safetensors, only {', '.join(pickled[:3])}: {CONVERT}")
    others = sorted(name for name in where.files if name.endswith(".safetensors"))
    if others:
        return WeightsError(
            f"{where.origin} has no {WEIGHTS}, but {', '.join(others[:3])}: rename it, or name the file itself."
        )
    if where.folder is None and not where.files:
        return StorageError(
            f"{where.origin}: {WEIGHTS} is not in the local cache and the Hub cannot be reached: go online once, or"
            " name a local folder."
        )
    return StorageError(f"{where.origin} has no {WEIGHTS} and no {INDEX}.")
