"""`backbonekit train`: an experiment becomes a folder with a trained, measured model."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.messages import note, status
from backbonekit.cli.reports import report_faults, write_report
from backbonekit.cli.start import PUBLISHED_WEIGHTS, literal_faults
from backbonekit.cli.text import printable
from backbonekit.cli.values import value_faults
from backbonekit.contract.processes import is_first_process
from backbonekit.errors import RecipeError
from backbonekit.recipe.config_roots import is_folder
from backbonekit.recipe.dump import dump_experiment
from backbonekit.recipe.experiment import Experiment
from backbonekit.recipe.experiment_compose import check_sections, compose_experiment
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.overrides import parse_overrides

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.contract.datasets import DataSource
    from backbonekit.lightning.best_model import BestModel
    from backbonekit.recipe.recipe import Recipe

KNOWN = ("experiment", "recipe", "revision", "save", "overwrite", "resume", "report", "format")
_SAID = ("resume", "report", "format")  # what goes with resume=
EXPERIMENT, CHECKPOINT = "experiment.yaml", "last.ckpt"
_FILES_OF_A_RUN = (EXPERIMENT, CHECKPOINT, "recipe.yaml", "config.json", "model.safetensors")
_RESUMED = ("trainer", "data")  # the sections that a resumed run may change
USAGE = """usage: backbonekit train [experiment=NAME] [model=NAME] data=FORMAT [key=value ...] save=FOLDER

examples:
  backbonekit train model=rtdetr_v2_resnet18 data=coco data.root=photos data.train=train.json data.val=val.json \\
      trainer.max_epochs=12 save=runs/x
  backbonekit train experiment=mine.yaml optimisation.lr=3e-4 save=runs/y
  backbonekit train recipe=runs/x data=coco data.root=others data.train=train.json save=runs/z
  backbonekit train resume=runs/x trainer.max_epochs=24

Any key of the recipe can be set, as in `build`, and any key of data, augmentation, optimisation and trainer. The number
of classes and their names are those of the data, unless head.num_classes or labels are given. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes and experiments; they win over shipped ones of the same name
  --cfg job         print the composed experiment and stop
  --import MODULE   load a module that registers parts or data formats of your own
  -q, --quiet       no notes and no progress: results and errors alone

The folder then holds the model of the best validation (open it by recipe=FOLDER), experiment.yaml, scores.json,
metrics.csv, and last.ckpt, from which resume=FOLDER goes on after Ctrl-C, a crash or a full disk.
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    import_parts(arguments.imports)
    if "resume" in arguments.literals:
        folder = Path(arguments.literals["resume"]).expanduser()
        return _run(_resumed(arguments, folder), folder, arguments, resume=True)
    experiment = _composed(arguments)
    if arguments.cfg:
        print(dump_experiment(experiment), end="")
        return 0
    _check(arguments, experiment)
    return _run(experiment, Path(arguments.literals["save"]).expanduser(), arguments, resume=False)


def _composed(arguments: Arguments) -> Experiment:
    literals = arguments.literals
    faults = literal_faults(arguments) + report_faults(literals)
    if arguments.multirun:
        faults.append("-m belongs to `build`; `train` runs one experiment.")
    if faults:
        raise RecipeError(faults)
    model: Any = arguments.model
    if "recipe" in literals:
        # Before torch is imported, and the saved model read.
        check_sections(literals.get("experiment"), arguments.overrides, config_dir=arguments.config_dir)
        from backbonekit.assembly.load import compose_opened

        model = compose_opened(literals["recipe"], revision=literals.get("revision"))
    return compose_experiment(
        literals.get("experiment"), arguments.overrides, model=model, config_dir=arguments.config_dir
    )


def _resumed(arguments: Arguments, folder: Path) -> Experiment:
    """The experiment of a run that is resumed, with other settings of its trainer or other paths of its data."""
    given = [f"{name}=" for name in KNOWN if name in arguments.literals and name not in _SAID]
    given += ["model="] if arguments.model is not None else []
    edits, faults = parse_overrides(arguments.overrides)
    faults += value_faults({name: arguments.literals[name] for name in _SAID if name in arguments.literals})
    faults += report_faults(arguments.literals)
    if given:
        faults.append(f"resume= goes on with the run as it is; leave {', '.join(given)} out.")
    faults += [
        f"{edit.text}: a resumed run may change {' and '.join(_RESUMED)} alone. The fix: start a new one from its model"
        f" by recipe={folder}."
        for edit in edits
        if edit.path[0] not in _RESUMED
    ]
    if not (folder / EXPERIMENT).is_file():
        faults.append(f"resume={folder}: holds no run, which has {EXPERIMENT}.")
    elif not (folder / CHECKPOINT).is_file():
        faults.append(f"resume={folder}: this run ended before its first step and has no {CHECKPOINT}; start it again.")
    if faults:
        raise RecipeError(faults)
    return compose_experiment(read_yaml_file(folder / EXPERIMENT), arguments.overrides)


def _check(arguments: Arguments, experiment: Experiment) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    save, overwrite = arguments.literals.get("save"), arguments.literals.get("overwrite", "false")
    faults: list[str] = []
    if experiment.data is None:
        faults.append("no data: give data=FORMAT with its options, such as data=coco data.root=photos.")
    if not save:
        faults.append("save= is missing: the folder that the trained model is written to.")
    if save and overwrite == "false" and is_first_process():
        folder = Path(save).expanduser()
        held = [name for name in _FILES_OF_A_RUN if (folder / name).is_file()] if is_folder(folder) else []
        if held:
            faults.append(
                f"save={save}: holds a run or a model already ({held[0]}). The fix: another folder, resume={save}, or "
                "overwrite=true."
            )
    if faults:
        raise RecipeError(faults)


def _run(experiment: Experiment, folder: Path, arguments: Arguments, *, resume: bool) -> int:
    try:
        from backbonekit.lightning.checkpointing import Interrupted
        from backbonekit.lightning.run import run_experiment
    except ModuleNotFoundError as error:
        if str(error.name).startswith("backbonekit"):
            raise
        raise RecipeError(f"train: {error.name} is not installed. The fix: pip install backbonekit[train].") from error

    source, steps = _open(experiment)
    known = experiment.with_labels(source.labels)
    is_first = is_first_process()
    if is_first:
        for one in (*experiment.notes, *_class_notes(experiment, known)):
            note(one)
    try:
        build = _builder(arguments, experiment.trainer.seed)
        build = build if resume else _noting_random_weights(build)
        best = run_experiment(known, folder, source=source, build=build, steps=steps, resume=resume)
    except Interrupted:
        if is_first:
            print(f"interrupted; go on with: backbonekit train resume={folder}", file=sys.stderr)
        return 130
    if is_first and "report" in arguments.literals:
        status(_report(arguments.literals["report"], folder, source, best))
    if is_first and arguments.literals.get("format") == "json":
        epoch = None if best.epoch is None else best.epoch + 1
        print(json.dumps({"folder": str(folder), "metric": best.name, "value": best.value, "epoch": epoch}))
    elif is_first:
        score = "" if best.name is None else f" ({best.name} {best.value:.4g}, epoch {(best.epoch or 0) + 1})"
        print(f"saved to {printable(str(folder))}{score}")
    return 0


def _report(path: str, folder: Path, source: "DataSource", best: "BestModel") -> str:
    """Writes the page on the model that the folder holds now."""
    from backbonekit.assembly.load import load_model
    from backbonekit.assembly.report import Findings
    from backbonekit.lightning.run import METRICS

    try:
        split, name = source.split("val"), "the validation"
    except RecipeError:
        split, name = source.split("train"), "the training"
    log = folder / METRICS
    findings = Findings(split=split, split_name=name, scores=best.scores, log=log if log.is_file() else None)
    return write_report(path, load_model(folder), findings)


def _open(experiment: Experiment) -> "tuple[DataSource, Sequence[Any] | None]":
    """The data and the steps of its augmentation; None for those of the paper, which follow the model."""
    from backbonekit.data import open_augmentation, open_data

    assert experiment.data is not None
    steps = experiment.augmentation
    return open_data(experiment.data), None if isinstance(steps, str) else open_augmentation(steps)


def _builder(arguments: Arguments, seed: int) -> "Callable[[Recipe], ComposedModel]":
    """Builds the model of the run: with the weights of recipe=, or from the recipe alone."""
    from backbonekit.assembly.build import build_composed
    from backbonekit.assembly.load import build_opened

    where = arguments.literals.get("recipe")
    if where is None:
        return lambda recipe: build_composed(recipe, seed=seed)
    return lambda recipe: build_opened(where, recipe, revision=arguments.literals.get("revision"), seed=seed)


def _noting_random_weights(build: "Callable[[Recipe], ComposedModel]") -> "Callable[[Recipe], ComposedModel]":
    """Builds as `build` does, and names the weights that start at random: a random start is seldom what is meant."""

    def built(recipe: "Recipe") -> "ComposedModel":
        model = build(recipe)
        report = model.weight_report
        if is_first_process() and report is not None and report.random:
            shown = ", ".join([*report.random][:4]) + (", ..." if len(report.random) > 4 else "")
            random = f"all weights are random at the start. {PUBLISHED_WEIGHTS}"
            kept = f"{report.pretrained_share:.1%} of the weights are from a checkpoint; random at the start: {shown}."
            note(random if report.is_random else kept)
        return model

    return built


def _class_notes(before: Experiment, after: Experiment) -> list[str]:
    if not before.classes_from_data or after.model.labels is None:
        return []
    names = after.model.labels.names
    return [f"{len(names)} classes, those of the data: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."]
