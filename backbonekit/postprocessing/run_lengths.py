"""Masks as COCO's compressed run lengths.

Source: github.com/cocodataset/cocoapi `common/maskApi.c: rleEncode, rleToString`: runs down the columns, beginning with
a run of background (perhaps of length 0), written in 5 bits a character, each as the difference to the run before last.
"""

import numpy as np


def encode_mask(mask: np.ndarray) -> dict[str, object]:
    """bool [height, width] -> `{"size": [height, width], "counts": text}`, as pycocotools reads it."""
    height, width = mask.shape
    return {"size": [height, width], "counts": _text(_runs(mask))}


def decode_mask(encoded: dict[str, object]) -> np.ndarray:
    """The inverse of `encode_mask`; bool [height, width]."""
    height, width = encoded["size"]  # type: ignore[misc]
    runs = _parse(str(encoded["counts"]))
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T  # type: ignore[has-type]


def _runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[False], mask.astype(bool).ravel(order="F")])
    # changes: positions in the flat mask at which a new run begins
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def _text(runs: list[int]) -> str:
    characters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)  # the sign's bit says how the rest is filled
            characters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(characters)


def _parse(text: str) -> list[int]:
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[position]) - 48
            value |= (bits & 0x1F) << shift
            shift += 5
            position += 1
            more = bool(bits & 0x20)
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
