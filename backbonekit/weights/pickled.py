"""Reading a pickled checkpoint, once, to write it again as safetensors. Nothing else in the project opens a pickle."""

import argparse
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.errors import StorageError, WeightsError
from backbonekit.weights.untrusted_files import check_regular, names_in, read_json, user_path

SUFFIXES = (".bin", ".pth", ".pt", ".ckpt")
_WHOLE = "pytorch_model.bin"
_INDEX = "pytorch_model.bin.index.json"
_SHARD = re.compile(r"[A-Za-z0-9_][\w.\-]{0,200}\.bin", re.ASCII)
# Where training programs keep the weights inside their checkpoints, the averaged ones first, as these are the ones that
# are published.
_CONTAINERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "module", "weights", "teacher"),
)
_MOST = 0.8  # of the names; the rest are those of losses and metrics beside the model
_LIGHTNING = "pytorch-lightning_version"
# What wrappers put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MAX_NESTED = 8  # containers inside containers; the deepest known is {"ema": {"module": weights}}
_MAX_TENSORS = 50_000  # as many as a safetensors file may have
# Plain data of training programs: a parsed command line holds values and runs nothing.
_HARMLESS: list[Any] = [argparse.Namespace]


@dataclass(frozen=True, slots=True)
class Pickled:
    """`tensors`: by their names without the prefixes of wrappers. `files`: what they were read from. `key_path`: the
    keys under which they were stored, such as ("ema", "module"); none of a plain state_dict. `stripped`: what else was
    taken off the names. `left`: names without it, which stay as they are."""

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    key_path: tuple[str, ...] = ()
    stripped: str = ""
    left: tuple[str, ...] = ()


def read_pickled(path: Path) -> Pickled:
    """The tensors of a `.bin`, `.pth`, `.pt` or `.ckpt` file, or of a folder that transformers saved without
    safetensors (`pytorch_model.bin`, sharded or not), or that holds one such file.

    Only tensors and plain containers are unpickled (torch's `weights_only`). Raises StorageError for a file that is not
    there, WeightsError for one that holds anything else.
    """
    path = user_path(path)
    if not path.is_dir():
        return _read_file(path)
    if (path / _INDEX).is_file() and not (path / _WHOLE).is_file():
        return _read_shards(path)
    if (path / _WHOLE).is_file():
        return _read_file(path / _WHOLE)
    found = [name for name in names_in(path) if (path / name).is_file() and Path(name).suffix.lower() in SUFFIXES]
    if len(found) != 1:
        listed = (
            f"several pickled files: {', '.join(found[:8])}. Name one" if found else "no pickled weights to convert"
        )
        raise StorageError(f"The folder {str(path)!r} holds {listed}.")
    return _read_file(path / found[0])


def _read_file(path: Path) -> Pickled:
    content = _unpickled(path)
    key_path, tensors = _tensors_in(content, ())
    if not tensors:
        raise WeightsError(f"{path} holds no tensors by name{_top_keys(content)}.")
    _check_sizes(tensors, path)
    # Lightning saves the module around the model, which is one of its attributes; beside it stand losses and metrics
    # with buffers of their own. Elsewhere a first word that names share can be the model's own.
    stripped = _shared_word(tensors) if isinstance(content, Mapping) and _LIGHTNING in content else ""
    unwrapped = {name: _unwrapped(name) for name in tensors}
    left = tuple(name for name in unwrapped.values() if not name.startswith(stripped))
    names = {name: short.removeprefix(stripped) for name, short in unwrapped.items()}
    return Pickled(_renamed(tensors, names, path), (path,), key_path, stripped, left)


def _read_shards(folder: Path) -> Pickled:
    weight_map = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{folder / _INDEX} has no weight_map of tensor names to files.")
    tensors: dict[str, Tensor] = {}
    files = []
    for shard in sorted({str(name) for name in weight_map.values()}):
        if _SHARD.fullmatch(shard) is None or ".." in shard:
            raise WeightsError(f"{folder / _INDEX} names {shard!r}; a shard is a .bin file beside its index.")
        files.append(folder / shard)
        read = _tensors_in(_unpickled(folder / shard), ())[1]
        _check_sizes(read, folder / shard)
        tensors |= read
    absent = [name for name in weight_map if name not in tensors]
    if absent:
        raise WeightsError(f"{folder / _INDEX} lists {absent[0]!r}, which no shard holds ({len(absent)} such tensors).")
    names = {name: _unwrapped(name) for name in tensors}
    return Pickled(_renamed(tensors, names, folder / _INDEX), tuple(files))


def _unpickled(path: Path) -> Any:
    # torch would wait for what is no regular file, and for one of the system, of size 0.
    if check_regular(path, shown=f"The file {str(path)!r}") == 0:
        raise WeightsError(f"{path} holds no tensors by name; it is empty.")
    _check_archive(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")  # torch warns of old formats; reading them is the point
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a malformed stream raises whatever the step that it breaks raises
        reason = _reason(error)
        raise WeightsError(
            f"{path} holds more than tensors, or is damaged, and is not opened: {reason} The fix: load it where"
            " it was made, and save its state_dict alone."
        ) from error
    return content


def _reason(error: Exception) -> str:
    """One line of what the unpickler said, without torch's own advice, which is to trust the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if "weights_only" not in line]
    line = next(iter(own), type(error).__name__)
    return f"{line[:200].rstrip('. ')}."


def _check_archive(path: Path) -> None:
    """Raises WeightsError for a zip file whose content is larger than itself. torch stores without compression."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is a damaged zip file: {error}. Download or save it again.") from error
    if size > path.stat().st_size:
        raise WeightsError(
            f"{path} is a zip file of {path.stat().st_size:,} bytes that announces {size:,} bytes of content; torch"
            " writes without compression, so torch did not write it. It is not opened."
        )


def _tensors_in(content: Any, key_path: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    if not isinstance(content, Mapping) or len(key_path) > _MAX_NESTED:
        return key_path, {}
    for name in _CONTAINERS:
        deeper, inner = _tensors_in(content.get(name), (*key_path, name))
        if inner:
            return deeper, inner
    return key_path, {
        name: value.detach() for name, value in content.items() if isinstance(value, Tensor) and isinstance(name, str)
    }


def _check_sizes(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises WeightsError where the tensors are more than the file can hold: a stream may announce any size."""
    if len(tensors) > _MAX_TENSORS:
        raise WeightsError(f"{path} holds {len(tensors):,} tensors; at most {_MAX_TENSORS:,} are read.")
    size = path.stat().st_size
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_meta:
            raise WeightsError(f"{path}: the tensor {name!r} is sparse or without numbers; dense ones are read.")
        if tensor.numel() * tensor.element_size() > size:
            raise WeightsError(
                f"{path}: the tensor {name!r} is to have {tensor.numel():,} numbers; the file has {size:,} bytes."
            )


def _shared_word(names: Collection[str]) -> str:
    """The first word, with its dot, of at least `_MOST` of all names, or nothing."""
    words = Counter(_unwrapped(name).partition(".")[0] for name in names if "." in _unwrapped(name))
    word, count = words.most_common(1)[0] if words else ("", 0)
    return f"{word}." if count >= _MOST * len(names) and count else ""


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if names[name] in renamed:
            raise WeightsError(
                f"{path} holds two tensors that are both {names[name]!r} without the wrappers' prefixes."
            )
        renamed[names[name]] = tensor
    return renamed


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "") if wrapper != "module." else name.removeprefix(wrapper)
    return name


def _top_keys(content: Any) -> str:
    if not isinstance(content, Mapping):
        return ""
    return f"; its keys are {', '.join(repr(key)[:60] for key in list(content)[:8])}"
