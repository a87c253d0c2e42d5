"""`metrics.csv`: a row for each logged step, which a resumed training goes on with."""

import csv
import io
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from backbonekit.errors import StorageError

_FIRST = ("epoch", "step")


class CsvLog(Logger):
    """Columns are `epoch`, `step` and every name that was ever logged; a cell is empty where its row has no such
    number. `resumed_at`: the number of steps that a resumed training has done; rows of later steps are dropped, since
    those are trained again. None: the file is started anew."""

    def __init__(self, path: Path, *, resumed_at: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._rows = [] if resumed_at is None else _read(path, resumed_at)
        self._columns = list(_FIRST) if not self._rows else list(self._rows[0])
        self._written = 0
        self._is_new = True

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The settings are in experiment.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        if "epoch" in metrics:
            row["epoch"] = int(metrics["epoch"])
        new = [name for name in row if name not in self._columns]
        self._columns += new
        self._is_new |= bool(new)
        self._rows.append(row)

    @rank_zero_only
    def save(self) -> None:
        """Adds what was logged since the last call; a new column writes the file again."""
        try:
            if self._is_new:
                self._write_all()
            elif self._written < len(self._rows):
                with self.path.open("a", encoding="utf-8", newline="") as file:
                    file.write(self._text(self._rows[self._written :]))
        except OSError as error:
            raise StorageError(f"{self.path} could not be written: {error.strerror}.") from error
        self._written = len(self._rows)
        self._is_new = False

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _write_all(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.partial")
        temporary.write_text(self._text(self._rows, header=True), encoding="utf-8", newline="")
        os.replace(temporary, self.path)

    def _text(self, rows: list[dict[str, Any]], *, header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _read(path: Path, num_steps: int) -> list[dict[str, Any]]:
    """The whole rows of the first steps, which are numbered from 0."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = [row for row in rows if None not in row and None not in row.values()]
    return [row for row in whole if row.get("step", "").isdecimal() and int(row["step"]) < num_steps]
