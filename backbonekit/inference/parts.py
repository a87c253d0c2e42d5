"""Rows kept on disk in parts while a run goes on, each whole or not there, so that a run that was killed goes on.

The parts of `FILE` are in the folder `.FILE.parts` beside it: `plan.json`, which says what run they belong to, and
`00000.safetensors` and so on, in the order of the images.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from backbonekit.errors import StorageError
from backbonekit.inference.feature_rows import Rows
from backbonekit.postprocessing.writing import write_file
from backbonekit.weights.untrusted_files import read_json

_PLAN = "plan.json"
_ROWS = "rows"
_BETWEEN = "\n"  # between the number of a row and its column; no name of a column has it


class Parts:
    """The parts of one output."""

    def __init__(self, output: Path, plan: Mapping[str, Any], *, afresh: bool = False) -> None:
        """`plan`: what the rows depend on, as plain data. `afresh`: parts of an earlier run are removed. Raises
        StorageError where the parts of an earlier run belong to another plan."""
        self.output = output
        self.folder = output.parent / f".{output.name}.parts"
        if afresh:
            self.remove()
        written = self.folder / _PLAN
        if written.is_file():
            before = read_json(written, shown=str(written))
            changed = sorted(key for key in {*before, *plan} if before.get(key) != plan.get(key))
            if changed:
                raise StorageError(
                    f"{output}: an earlier run was interrupted, and its rows are in {self.folder}; this run has another"
                    f" {', '.join(changed)}, so it cannot go on with them. The fix: the same arguments as then, or"
                    " overwrite=true, which starts anew."
                )
        else:
            write_file(written, json.dumps(plan).encode())

    def path(self, number: int) -> Path:
        """Where a part is, or will be: the same path wherever it is written from."""
        return self.folder.resolve() / f"{number:05d}.safetensors"

    def read(self, number: int) -> Rows:
        """A part that is there. Raises StorageError for one that cannot be read."""
        path = self.path(number)
        try:
            with safe_open(path, framework="pt") as file:
                described = json.loads((file.metadata() or {})[_ROWS])
                columns: list[dict[str, Any]] = [{} for _ in described["names"]]
                for key in file.keys():  # noqa: SIM118 - it is no mapping
                    index, between, column = key.partition(_BETWEEN)
                    if between:
                        columns[int(index)][column] = file.get_tensor(key)
        except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
            raise StorageError(
                f"{path} cannot be read: {error}. The fix: overwrite=true, which starts anew."
            ) from error
        return Rows(described["names"], columns, [tuple(pair) for pair in described["failed"]])

    def remove(self) -> None:
        """Deletes the parts. Raises StorageError where that is not allowed."""
        if self.folder.is_dir():
            try:
                shutil.rmtree(self.folder)
            except OSError as error:
                raise StorageError(f"{self.folder} cannot be deleted: {error.strerror or error}.") from error


def write_part(path: Path, rows: Rows) -> None:
    """Writes a part, whole or not at all."""
    tensors = {
        f"{index}{_BETWEEN}{column}": tensor.contiguous()
        for index, row in enumerate(rows.columns)
        for column, tensor in row.items()
    }
    described = json.dumps({"names": rows.names, "failed": rows.failed})
    # A file without any tensor is none that safetensors reads.
    write_file(path, save(tensors or {"": torch.zeros(1)}, metadata={_ROWS: described}))
