"""Weights with long headers, and files that are larger than what they are read for, or no files."""

import json
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import backbonekit as bk
from backbonekit.hub.opening import open_model
from backbonekit.weights.pickled import read_pickled
from tests.security.tried.harness import Attack

SMALL: dict[str, Any] = {
    "backbone": {
        "source": "hf",
        "config": {"model_type": "convnext", "hidden_sizes": [4, 4, 8, 8], "depths": [1, 1, 1, 1]},
    }
}
WEIGHTS = "model.safetensors"
PLAIN = "schema_version: 1\n" + json.dumps(SMALL)[1:-1]


@cache
def _saved() -> Path:
    folder = Path(mkdtemp())
    bk.build_model(SMALL).save_pretrained(folder)
    return folder


def saved(folder: Path, *, sealed: bool = True) -> Path:
    """A saved model; not `sealed`: its recipe says nothing of the weights."""
    for path in _saved().iterdir():
        shutil.copy(path, folder / path.name)
    if not sealed:
        (folder / "recipe.yaml").write_text(f"backbone: {json.dumps(SMALL['backbone'])}\n")
    return folder


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path: Path, header: dict[str, Any], data: bytes, size: int | None = None) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    if size is not None:
        os.truncate(path, size)


def _tensors(change: Callable[[dict[str, Any], int], Iterator[tuple[str, list[int]]]], *, keep: int = 10**9) -> Attack:
    """The weights with more tensors, of no numbers, behind the first `keep` of them."""

    def prepare(folder: Path) -> Callable[[], Any]:
        saved(folder, sealed=False)
        header, data = header_of(folder / WEIGHTS)
        names = [name for name in header if name != "__metadata__"]
        end = max(header[name]["data_offsets"][1] for name in names)
        added = {
            name: {"dtype": "F32", "shape": shape, "data_offsets": [end, end]} for name, shape in change(header, end)
        }
        if keep < len(names):  # what is left out makes a hole, which the parser refuses; so it is renamed
            added["body.other"] = header.pop(names[keep])
        write(folder / WEIGHTS, {**header, **added}, data)
        return lambda: bk.load_model(folder)

    return prepare


def _surplus(count: int, name: str) -> Attack:
    return _tensors(lambda header, end: ((name.format(number), [0]) for number in range(count)))


def _near(header: dict[str, Any], end: int) -> Iterator[tuple[str, list[int]]]:
    first = next(name for name in header if name != "__metadata__")
    return ((f"{first}{number}", [0]) for number in range(40_000))


def _folder(change: Callable[[Path], Any], *, sealed: bool = False) -> Attack:
    def prepare(folder: Path) -> Callable[[], Any]:
        change(saved(folder, sealed=sealed))
        return lambda: bk.load_model(folder)

    return prepare


def _in_place(name: str, make: Callable[[Path], Any]) -> Attack:
    """Another kind of file where a file of the model is expected."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return _folder(change)


def _beside(name: str, make: Callable[[Path], Any], use: Callable[[str], Any]) -> Attack:
    """A file given by its path."""

    def prepare(folder: Path) -> Callable[[], Any]:
        make(folder / name)
        return lambda: use(str(folder / name))

    return prepare


def _shards(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {f"t{number}": f"s{number}.safetensors" for number in range(100_000)}})
    )


def _huge_stem(path: Path) -> None:
    header, data = header_of(path / WEIGHTS)
    name = next(name for name in header if header[name].get("shape", [])[1:] == [3, 4, 4])
    others = {key: entry for key, entry in header.items() if key not in (name, "__metadata__")}
    end = max(entry["data_offsets"][1] for entry in others.values())
    size = 8 * 10**6 * 3 * 4 * 4 * 4
    header[name] = {"dtype": "F32", "shape": [8 * 10**6, 3, 4, 4], "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    write(path / WEIGHTS, header, data, 8 + len(text) + end + size)


def _socket(path: Path) -> None:
    here = os.getcwd()  # the path of a socket may have 108 characters
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


NO_FILES: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "/proc/kmsg": lambda path: path.symlink_to("/proc/kmsg"),
    "/proc/self/mem": lambda path: path.symlink_to("/proc/self/mem"),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "100 GB": _sparse(10**11),
}


def _backbone_file(make: Callable[[Path], Any]) -> Attack:
    """Another kind of file where a folder of recipes has one."""

    def prepare(folder: Path) -> Callable[[], Any]:
        (folder / "model" / "backbone").mkdir(parents=True)
        make(folder / "model" / "backbone" / "x.yaml")
        return lambda: bk.build_model("maskformer_resnet50", ["backbone=x"], config_dir=folder)

    return prepare


FILES = (WEIGHTS, "recipe.yaml", "config.json", "preprocessor_config.json", "README.md", "model.safetensors.index.json")
USES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "load_model": ("r.yaml", bk.load_model),
    "build_model": ("r.yaml", bk.build_model),
    "open_model": ("r.safetensors", open_model),
    "pretrained": (
        "w.safetensors",
        lambda path: bk.build_model({"backbone": {**SMALL["backbone"], "pretrained": path}}),
    ),
    "backbone.name": ("x", lambda path: bk.build_model({"backbone": {"source": "hf", "name": path}})),
    "config_dir": ("x", lambda path: bk.build_model("maskformer_resnet50", ["backbone=x"], config_dir=path)),
    "convert": ("x.bin", lambda path: read_pickled(Path(path))),
    "AutoBackbone": ("x", bk.AutoBackbone.from_pretrained),
    "AutoImageProcessor": ("x", bk.AutoImageProcessor.from_pretrained),
}


def prepare() -> None:
    """Imports what is not to be measured."""
    bk.build_model(SMALL)


ATTACKS: dict[str, Attack] = {
    **{f"a backbone's file is {kind}": _backbone_file(make) for kind, make in NO_FILES.items()},
    "10,000 dimensions": _tensors(lambda header, end: iter([("body.x", [1] * 9_999 + [0])])),
    "40,000 tensors too many": _surplus(40_000, "body.layer{}"),
    "one missing, 40,000 with near names": _tensors(_near, keep=0),
    "200,000 tensors": _surplus(200_000, "t{}"),
    "a layer of 5,000 digits": _surplus(3, "body.layers." + "9" * 5_000 + ".{}"),
    "100,000 shards": _folder(_shards),
    "a stem of 8,000,000 channels": _folder(_huge_stem),
    "1 TB, sealed": _folder(lambda folder: os.truncate(folder / WEIGHTS, 10**12), sealed=True),
    "1 TB, not sealed": _folder(lambda folder: os.truncate(folder / WEIGHTS, 10**12)),
    "a README of 4 GB": _folder(lambda folder: os.truncate(folder / "README.md", 4 * 10**9)),
    "a README of 100 GB": _folder(lambda folder: os.truncate(folder / "README.md", 10**11)),
    **{f"{name} is {kind}": _in_place(name, make) for name in FILES for kind, make in NO_FILES.items()},
    **{
        f"{what}={kind}": _beside(name, make, use)
        for what, (name, use) in USES.items()
        for kind, make in NO_FILES.items()
    },
    **{
        f"{what}: {kind}": (lambda folder, use=use, path=path: lambda: use(path))
        for what, (_, use) in USES.items()
        for kind, path in {
            "NUL": "a\0b",
            "a long name": "./" + "x" * 5_000,
            "a home of nobody": "~nobody/x",
            "nothing": "",
            "an escape": "./\x1b[2J",
        }.items()
    },
}
