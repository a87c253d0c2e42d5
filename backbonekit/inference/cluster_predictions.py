"""Predictions for image files by the machines of a Ray cluster: actors write what each leaves behind."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backbonekit.assembly.predict import predict_each
from backbonekit.errors import StorageError
from backbonekit.inference.leftovers import Leftover, Leftovers
from backbonekit.inference.ray_engine import over_cluster
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.writing import write_file

_FILES_OF_AN_ACTOR = 8  # at once, which are done again where it is lost
_Entries = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # images and annotations


@dataclass(frozen=True, slots=True)
class _Share:
    """`first`: the position of its first file among all, from 0. `part`: where its entries are written; None: they come
    back with the share."""

    first: int
    files: list[Path]
    part: Path | None


def predict_over_cluster(
    model: Any,
    files: Sequence[Path],
    leftovers: Leftovers,
    results: CocoResults | None,
    *,
    task: str | None = None,
    threshold: float | None = None,
    workers: int | None = None,
) -> Iterator[Leftover]:
    """What each file leaves behind, in order, as it comes. Drawn images and label maps are in their folders then.

    `results`: has every entry at the end. Where it has a file, actors write theirs as lines of JSON into the folder
    `.NAME.parts` beside it, whence they are read. `workers`: actors, see `ray_engine.py`.
    """
    path = None if results is None or results.path is None else results.path.absolute()
    folder = None if path is None else path.with_name(f".{path.name}.parts")
    shares = [
        _Share(
            first,
            [file.absolute() for file in files[first : first + _FILES_OF_AN_ACTOR]],
            None if folder is None else folder / f"{first:08d}.jsonl",
        )
        for first in range(0, len(files), _FILES_OF_AN_ACTOR)
    ]
    work = partial(
        _predicted,
        leftovers=leftovers.absolute(),
        empty=None if results is None else CocoResults(path, results.labels),
        options={"task": task, "threshold": threshold},
    )
    try:
        for share, (done, entries) in zip(shares, over_cluster(model, shares, work, workers=workers), strict=True):
            if results is not None:
                results.extend(*(entries if share.part is None else _read(share.part)))
            yield from done
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _predicted(
    model: Any, share: _Share, *, leftovers: Leftovers, empty: CocoResults | None, options: dict[str, Any]
) -> tuple[list[Leftover], _Entries]:
    """In an actor: predicts and writes a share."""
    found = None if empty is None else CocoResults(empty.path, empty.labels)
    done = [
        leftovers.write(prediction, model.processor.processing, found, position)
        for position, prediction in enumerate(predict_each(model, share.files, **options), share.first)
    ]
    entries = ([], []) if found is None else (found.images, found.annotations)
    if share.part is None:
        return done, entries
    write_file(share.part, "\n".join(map(json.dumps, entries)).encode())
    return done, ([], [])


def _read(part: Path) -> _Entries:
    try:
        images, annotations = map(json.loads, part.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{part} cannot be read: {error}. Actors write it; the fix: results= on a file system that all machines of "
            "the cluster share."
        ) from error
    return images, annotations
