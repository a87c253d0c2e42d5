"""`backbonekit bench`: speed, memory and work of models, one row for each combination."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.messages import status
from backbonekit.cli.start import WAYS_TO_NAME_A_MODEL, literal_faults, names_a_model, start_model
from backbonekit.cli.text import printable, table
from backbonekit.contract.plain_text import count, seconds
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError, nearest
from backbonekit.recipe.sweep import expand_sweep

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.inference.measuring import Measurement

KNOWN = (
    *("recipe", "revision", "image", "batch_size", "dtype", "compile", "repeats"),
    *("accuracy", "plot", "format", "device", "seed"),
)
_DTYPES = ("float32", "float16", "bfloat16")
_FORMATS = ("table", "json", "csv")
USAGE = """usage: backbonekit bench [model=NAME] [key=value ...]

examples:
  backbonekit bench model=maskformer_resnet50
  backbonekit bench -m model=fcn_resnet50 backbone=resnet18,resnet50,swin_tiny batch_size=1,8 format=csv
  backbonekit bench recipe=runs/m1 device=cuda dtype=float32,float16 compile=false,true
  backbonekit bench -m backbone=resnet18,resnet50 accuracy=accuracy.csv plot=models.png

Times forward passes on noise, or on image=, after a warm-up: median and range, images per second, peak memory beside
the weights, parameters, multiply-adds of an image. A combination that is refused is a row with the reason. Other
arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  -m                every combination of comma-separated values, one row each
  --import MODULE   load a module that registers parts of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One row: what is measured, and what came of it or why nothing did."""

    name: str
    batch_size: int
    dtype: str
    compiled: bool
    input_shape: tuple[int, ...] = ()
    measurement: "Measurement | None" = None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; every row has the same keys."""
        from backbonekit.inference.measuring import Measurement

        own = asdict(self)
        own.pop("measurement")
        own["input_shape"] = "x".join(map(str, self.input_shape))
        names = Measurement.__dataclass_fields__
        measured = dict.fromkeys(names) if self.measurement is None else asdict(self.measurement)
        return {**own, **measured}


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    _check(arguments)
    import_parts(arguments.imports)
    literals = arguments.literals
    accuracies = _accuracies(Path(literals["accuracy"])) if "accuracy" in literals else {}
    cells = []
    for cell in _cells(arguments):
        cells.append(cell)
        status(f"{cell.name}, batch {cell.batch_size}, {cell.dtype}: {_short(cell)}")
    _check_named(accuracies, cells)
    print(_shown(cells, accuracies, literals.get("format", "table")), end="")
    if "plot" in literals:
        _plot(Path(literals["plot"]), cells, accuracies)
    return 1 if any(cell.error for cell in cells) else 0


def _cells(arguments: Arguments) -> Iterator[Cell]:
    literals = arguments.literals
    settings = list(
        product(
            [int(word) for word in literals.get("batch_size", "1").split(",")],
            literals.get("dtype", "float32").split(","),
            [word == "true" for word in literals.get("compile", "false").split(",")],
        )
    )
    for name, model_name, overrides in _jobs(arguments):
        arguments.model = model_name
        try:
            model = start_model(arguments, overrides)
        except (RecipeError, ContractError, WeightsError, StorageError) as error:
            for batch_size, dtype, compiled in settings:
                yield Cell(name, batch_size, dtype, compiled, error=str(error))
            continue
        for batch_size, dtype, compiled in settings:
            yield _measured(model, name, batch_size, dtype, compiled, literals)


def _jobs(arguments: Arguments) -> list[tuple[str, str | None, list[str]]]:
    """(name, model=, overrides) of each model."""
    if not arguments.multirun:
        backbone = next((word for word in arguments.overrides if word.startswith(("backbone=", "model.backbone="))), "")
        name = arguments.model or arguments.literals.get("recipe") or backbone.partition("=")[2] or "as given"
        return [(name, arguments.model, arguments.overrides)]
    given = arguments.overrides if arguments.model is None else [f"model={arguments.model}", *arguments.overrides]
    jobs = expand_sweep(given, config_dir=arguments.config_dir)
    varying = [index for index in range(len(jobs[0])) if len({job[index] for job in jobs}) > 1]
    found = []
    for job in jobs:
        chosen = [word for word in job if word.startswith("model=")]
        # Of one swept argument the value alone is the name.
        words = [job[index] for index in varying] or list(job)
        name = words[0].split("=", 1)[1] if len(varying) == 1 else " ".join(words)
        overrides = [word for word in job if word not in chosen]
        found.append((name, chosen[0].split("=", 1)[1] if chosen else None, overrides))
    return found


def _measured(
    model: "ComposedModel", name: str, batch_size: int, dtype: str, compiled: bool, literals: dict[str, str]
) -> Cell:
    import torch

    from backbonekit.assembly.inference import sample_input
    from backbonekit.assembly.placement import read_dtype
    from backbonekit.inference.measuring import measure

    shape: tuple[int, ...] = ()
    try:
        precision = read_dtype(dtype)
        model.to(dtype=precision)
        one, _ = sample_input(model, image=literals.get("image"), seed=int(literals.get("seed", "0")))
        pixel_values = one.to(precision).repeat(batch_size, 1, 1, 1)
        shape = tuple(pixel_values.shape)
        repeats = int(literals.get("repeats", "10"))
        measurement = measure(model, pixel_values, repeats=repeats, compiled=compiled)
    except (RecipeError, ContractError, StorageError) as error:
        return Cell(name, batch_size, dtype, compiled, shape, error=str(error))
    except (RuntimeError, NotImplementedError) as error:  # torch: no memory, no kernel for a type, no compiler
        reason = (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
            if str(error)
            else type(error).__name__
        )
        return Cell(name, batch_size, dtype, compiled, shape, error=reason)
    finally:
        if compiled:
            torch.compiler.reset()
    return Cell(name, batch_size, dtype, compiled, shape, measurement)


def _short(cell: Cell) -> str:
    if cell.measurement is None:
        return "refused"
    return f"{seconds(cell.measurement.seconds)}, {cell.measurement.images_per_second:.3g} images/s"


def _shown(cells: Sequence[Cell], accuracies: dict[str, float], form: str) -> str:
    records = [{**cell.to_dict(), **({"accuracy": accuracies.get(cell.name)} if accuracies else {})} for cell in cells]
    if form == "json":
        return json.dumps(records) + "\n"
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return stream.getvalue()
    header = ("model", "batch", "dtype", "compiled", "input", "median", "range", "images/s", "memory", "params",
              "mult-adds", *(["accuracy"] if accuracies else []), "refused because")  # fmt: skip
    rows = [_row(cell, record) for cell, record in zip(cells, records, strict=True)]
    return printable(table(header, rows, right=(1, 5, 7, 8, 9, 10))) + "\n"


def _row(cell: Cell, record: dict[str, Any]) -> tuple[str, ...]:
    measured = cell.measurement
    numbers = ("",) * 6
    if measured is not None:
        numbers = (
            seconds(measured.seconds),
            f"{seconds(measured.lowest)} to {seconds(measured.highest)}",
            f"{measured.images_per_second:.3g}",
            "-" if measured.peak_bytes is None else f"{count(measured.peak_bytes)}B",
            count(measured.parameters),
            "-" if measured.multiply_adds is None else count(measured.multiply_adds),
        )
    known = [] if "accuracy" not in record else ["" if record["accuracy"] is None else f"{record['accuracy']:g}"]
    about = (cell.name, str(cell.batch_size), cell.dtype, "yes" if cell.compiled else "no", record["input_shape"])
    return (*about, *numbers, *known, " ".join(cell.error.split()))


def _plot(path: Path, cells: Sequence[Cell], accuracies: dict[str, float]) -> None:
    from backbonekit.postprocessing.writing import write_file
    from backbonekit.visualization.pareto import Point, pareto_plot

    measured = [cell for cell in cells if cell.measurement is not None and (not accuracies or cell.name in accuracies)]
    several = len({(cell.batch_size, cell.dtype, cell.compiled) for cell in measured}) > 1
    points = []
    for cell in measured:
        assert cell.measurement is not None
        height = accuracies[cell.name] if accuracies else cell.measurement.parameters / 1e6
        about = f" ({cell.batch_size}, {cell.dtype}{', compiled' if cell.compiled else ''})" if several else ""
        points.append(Point(f"{cell.name}{about}", cell.measurement.images_per_second, height))
    if not points:
        raise ContractError(f"plot={path}: nothing was measured, so there is nothing to draw.")
    label = "accuracy" if accuracies else "million parameters"
    content = pareto_plot(points, speed_label="images per second", height_label=label, more_is_better=bool(accuracies))
    write_file(path, content)


def _accuracies(path: Path) -> dict[str, float]:
    """The columns `name` and `accuracy` of a CSV file. Raises StorageError."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {row["name"]: float(row["accuracy"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise StorageError(
            f"accuracy={path}: a CSV file with the columns name and accuracy is expected: {type(error).__name__}:"
            f" {error}."
        ) from error


def _check_named(accuracies: dict[str, float], cells: Sequence[Cell]) -> None:
    names = {cell.name for cell in cells}
    unknown = [name for name in accuracies if name not in names]
    if accuracies and len(unknown) == len(accuracies):
        raise RecipeError(f"accuracy=: no row is named {unknown[0]!r}; {nearest(unknown[0], names)}")


def _check(arguments: Arguments) -> None:
    literals, faults = arguments.literals, []
    sweeps_models = arguments.multirun and any(word.startswith("model=") for word in arguments.overrides)
    if not names_a_model(arguments) and not sweeps_models:
        faults.append(f"nothing to measure. {WAYS_TO_NAME_A_MODEL}")
    if arguments.cfg:
        faults.append("--cfg belongs to `build`.")
    for name, allowed in (("dtype", _DTYPES), ("compile", ("false", "true"))):
        for word in literals.get(name, allowed[0]).split(","):
            if word not in allowed:
                faults.append(f"{name}={literals[name]}: {word!r} is none of {', '.join(allowed)}.")
    for name, several in (("batch_size", True), ("repeats", False)):
        words = literals.get(name, "1").split(",") if several else [literals.get(name, "1")]
        if not all(word.isdecimal() and 0 < int(word) <= 10_000 for word in words):
            faults.append(f"{name}={literals[name]}: whole numbers from 1 to 10,000{', with commas' * several}.")
    if literals.get("format", "table") not in _FORMATS:
        faults.append(f"format={literals['format']}: must be {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}.")
    if "plot" in literals and Path(literals["plot"]).suffix.lower() != ".png":
        faults.append(f"plot={literals['plot']}: must end in .png.")
    faults += literal_faults(arguments, own=("batch_size", "format"))
    if faults:
        raise RecipeError(faults)
