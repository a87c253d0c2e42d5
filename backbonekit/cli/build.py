"""`backbonekit build`: compose, check, build, run once, print the wiring."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.reports import report_faults, write_report
from backbonekit.cli.start import (
    WAYS_TO_NAME_A_MODEL,
    literal_faults,
    names_a_model,
    save_faults,
    start_model,
    start_of,
)
from backbonekit.cli.text import printable, table
from backbonekit.contract.plain_text import count, seconds
from backbonekit.contract.progress import bar
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.sweep import expand_sweep
from backbonekit.visualization.diagram import FORMATS

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.assembly.describe import Description

KNOWN = (
    "recipe",
    "weights",
    "revision",
    "locked",
    "image",
    "save",
    "overwrite",
    "diagram",
    "report",
    "device",
    "format",
    "seed",
)
USAGE = """usage: backbonekit build [model=NAME] [key=value ...]

examples:
  backbonekit build backbone=swin_tiny neck=fpn head=fcos head.num_classes=7
  backbonekit build model=maskformer_resnet50
  backbonekit build model=maskformer_resnet50 'backbone.out_strides=[4,8,16,32]' head.num_classes=7
  backbonekit build model=maskformer_resnet50 backbone=timm/convnext_tiny.fb_in1k
  backbonekit build recipe=FOLDER
  backbonekit build model=maskformer_resnet50 diagram=model.svg report=model.html image=image.jpg
  backbonekit build -m model=maskformer_resnet50 backbone=resnet50,swin_tiny

Any key of the recipe can be set; `backbone=`, `neck=` and `head=` swap a part. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  --cfg job         print the composed recipe and stop
  -m                every combination of comma-separated values, one row each
  --import MODULE   load a module that registers parts of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    _check(arguments)
    import_parts(arguments.imports)
    if arguments.multirun:
        return _sweep(arguments)
    if arguments.cfg:
        print(dump_recipe(_recipe(arguments, arguments.overrides)), end="")
        return 0
    model, description = _build(arguments, arguments.overrides)
    if "save" in arguments.literals:
        model.save_pretrained(arguments.literals["save"], overwrite=arguments.literals.get("overwrite") == "true")
    if "diagram" in arguments.literals:
        _write_diagram(arguments.literals["diagram"], description)
    if "report" in arguments.literals:
        from backbonekit.assembly.report import Findings

        findings = Findings(image=arguments.literals.get("image"))
        write_report(arguments.literals["report"], model, findings, description)
    if arguments.literals.get("format") == "json":
        print(json.dumps({**description.to_dict(), "recipe": model.recipe.to_dict()}))
    else:
        print(printable(_text(model, description)))
        if "save" in arguments.literals:
            print(f"\nsaved to {printable(arguments.literals['save'])}")
        for name in ("diagram", "report"):
            if name in arguments.literals:
                print(printable(f"{name}: {arguments.literals[name]}"))
    return 0


def _check(arguments: Arguments) -> None:
    literals = arguments.literals
    faults = []
    if not names_a_model(arguments) and not _sweeps_models(arguments):
        faults.append(f"nothing to build. {WAYS_TO_NAME_A_MODEL}")
    faults += literal_faults(arguments)
    locked = literals.get("locked", "false")
    if locked not in ("true", "false"):
        faults.append(f"locked={locked}: must be true or false.")
    elif locked == "true" and "weights" in literals:
        faults.append("locked=true and weights= do not go together: other weights are not what was saved.")
    elif locked == "true" and "recipe" not in literals:
        faults.append("locked=true compares with what was saved. The fix: recipe=FOLDER (or a file, or a repository).")
    faults += save_faults(literals)
    if arguments.multirun and "save" in literals:
        faults.append("save= and -m do not go together: every row would write to the same folder.")
    if "diagram" in literals and Path(literals["diagram"]).suffix.lower() not in FORMATS:
        faults.append(f"diagram={literals['diagram']}: must end in {', '.join(FORMATS)}.")
    faults += report_faults(literals)
    faults += [
        f"{name}= and -m do not go together: every row would write the same file."
        for name in ("diagram", "report")
        if arguments.multirun and name in literals
    ]
    if faults:
        raise RecipeError(faults)


def _write_diagram(path: str, description: "Description") -> None:
    from backbonekit.assembly.diagram import diagram_of
    from backbonekit.postprocessing.writing import write_file
    from backbonekit.visualization.diagram_file import diagram_bytes

    write_file(path, diagram_bytes(diagram_of(description), path))


def _sweeps_models(arguments: Arguments) -> bool:
    return arguments.multirun and any(word.startswith("model=") for word in arguments.overrides)


def _recipe(arguments: Arguments, overrides: Sequence[str]) -> Any:
    if "recipe" in arguments.literals:
        from backbonekit.assembly.load import compose_opened

        return compose_opened(arguments.literals["recipe"], overrides, revision=arguments.literals.get("revision"))
    return compose_recipe(start_of(arguments), overrides, config_dir=arguments.config_dir)


def _build(arguments: Arguments, overrides: Sequence[str]) -> tuple["ComposedModel", "Description"]:
    model = start_model(arguments, overrides)
    from backbonekit.assembly.describe import describe
    from backbonekit.assembly.inference import sample_input

    seed, image = int(arguments.literals.get("seed", "0")), arguments.literals.get("image")
    description, _ = describe(model, *sample_input(model, image=image, seed=seed))
    return model, description


def _text(model: "ComposedModel", description: "Description") -> str:
    from backbonekit.assembly.wiring_table import wiring_table, written_shape

    wiring = wiring_table(description)
    lines = [
        f"input {written_shape(description.input_shape)}",
        "",
        table(wiring.header, wiring.rows, right=wiring.right),
        "",
        f"{count(description.parameters)} parameters, {count(description.flops)}FLOP, {seconds(description.seconds)}",
    ]
    report = model.weight_report
    if report is not None:
        origins = {source.origin for source in report.sources if source.parameters}
        all_random = f"all {origins.pop()}" if len(origins) == 1 else "all random"
        share = f"{report.pretrained_share:.0%} of the parameters from a checkpoint"
        lines += ["", f"weights: {share if report.pretrained_share else all_random}"]
        for source in report.sources:
            lines.append(f"  {source.part:<10} {source.origin}" + (f" ({source.licence})" if source.licence else ""))
            lines += [f"  {'':<10} {name}: {how}" for name, how in source.adapted]
            if source.fresh:
                shown = ", ".join(source.fresh[:3]) + (", ..." if len(source.fresh) > 3 else "")
                lines.append(f"  {'':<10} {len(source.fresh)} new: {shown}")
        lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def _counted(jobs: Sequence[Any]) -> Iterator[Any]:
    with bar(len(jobs), unit="models") as progress:
        for job in jobs:
            yield job
            progress.update()


def _sweep(arguments: Arguments) -> int:
    """Prints one row for each combination; a refused one has the reason in its row. Returns exit code 1 if any was."""
    if arguments.model is not None:
        arguments.overrides.insert(0, f"model={arguments.model}")
    jobs = expand_sweep(arguments.overrides, config_dir=arguments.config_dir)
    varying = [index for index in range(len(jobs[0])) if len({job[index] for job in jobs}) > 1]
    rows: list[tuple[str, ...]] = []
    records: list[dict[str, Any]] = []
    refused = 0
    for job in _counted(jobs):
        chosen = {word.split("=", 1)[0]: word.split("=", 1)[1] for word in job if word.startswith("model=")}
        arguments.model = chosen.get("model")
        overrides = [word for word in job if not word.startswith("model=")]
        title = " ".join(job[index] for index in varying) or "as given"
        since = time.perf_counter()
        try:
            model, description = _build(arguments, overrides)
        except (RecipeError, ContractError, WeightsError, StorageError) as error:
            refused += 1
            rows.append((title, "", "", "", "", "", " ".join(str(error).split())))
            records.append({"overrides": list(job), "error": str(error)})
            continue
        strides = ", ".join(f"{row.stride:g}" for row in description.parts[0].returns)
        built = time.perf_counter() - since - description.seconds
        numbers = (count(description.parameters), count(description.flops))
        rows.append((title, *numbers, seconds(built), seconds(description.seconds), strides, ""))
        records.append({"overrides": list(job), **description.to_dict(), "recipe": model.recipe.to_dict()})
    if arguments.literals.get("format") == "json":
        print(json.dumps(records))
    else:
        header = ("overrides", "params", "FLOPs", "build", "forward", "strides", "refused because")
        print(printable(table(header, rows, right=(1, 2, 3, 4))))
    return 1 if refused else 0
