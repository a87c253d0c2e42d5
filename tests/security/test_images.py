"""Images that are too large, no regular files or no images: an error for each, soon, and nothing is waited for."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.pixels import to_pixels


def grey_png(path: Path, width: int, height: int) -> Path:
    """A black image, compressed row by row: the file is a thousandth of the image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def pipe(folder: Path, name: str = "pipe.png") -> Path:
    os.mkfifo(folder / name)
    return folder / name


def sparse(folder: Path) -> Path:
    (folder / "sparse.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    os.truncate(folder / "sparse.png", 10**11)
    return folder / "sparse.png"


def objects(folder: Path) -> Path:
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "objects.npy"


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "169 megapixels": (lambda folder: grey_png(folder / "x.png", 13_000, 13_000), "169,000,000 pixels; 89,478,485 are"),
    "more than Pillow opens": (lambda folder: grey_png(folder / "x.png", 20_000, 10_000), "too large to be decoded"),
    "a pipe": (pipe, "no regular file"),
    "a pipe of numbers": (lambda folder: pipe(folder, "pipe.npy"), "no regular file"),
    "a device": (lambda folder: "/dev/zero", "no regular file"),
    "a sparse file": (sparse, "not an image in a known format"),
    "pickled objects": (objects, "broken image"),
    "NUL": (lambda folder: "a\0b", "holds a NUL character"),
    "a long name": (lambda folder: "x" * 5_000, "File name too long"),
    "an escape": (lambda folder: "\x1b[2J.png", r"^\\x1b\[2J.png: no such image file"),
    "a sparse tensor": (lambda folder: torch.zeros(3, 9, 9).to_sparse(), "is not dense"),
    "a tensor without values": (lambda folder: torch.zeros(3, 9, 9, device="meta"), "has no values"),
    "a broadcast tensor": (lambda folder: torch.zeros(1).expand(3, 10**6, 10**6), "3,000,000,000,000 values"),
    "a broadcast array": (lambda folder: np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)), "values is too large"),
    "complex numbers": (lambda folder: np.zeros((9, 9, 3), complex), "dtype complex128"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_images(tmp_path: Path, make: Callable[[Path], Any], message: str):
    image = make(tmp_path)
    since = time.thread_time()
    with pytest.raises((ContractError, StorageError), match=message):
        to_pixels(image, 3)
    assert time.thread_time() - since < 2


def test_a_program_can_raise_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = grey_png(tmp_path / "x.png", 100, 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_999)
    with pytest.raises(StorageError, match="10,000 pixels; 9,999 are read"):
        to_pixels(path, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert to_pixels(path, 3).shape == (100, 100, 3)
