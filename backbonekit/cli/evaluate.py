"""`backbonekit evaluate`: a model over a split of a data set; scores as text, as JSON, as plots, in its card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.images import report_failed
from backbonekit.cli.messages import note, status
from backbonekit.cli.reports import report_faults, write_report
from backbonekit.cli.start import start_faults, start_model, weights_note
from backbonekit.cli.text import printable, terminal_width
from backbonekit.contract.progress import bar
from backbonekit.errors import RecipeError
from backbonekit.recipe.experiment import Experiment
from backbonekit.recipe.experiment_compose import compose_data, compose_experiment
from backbonekit.recipe.guard import read_yaml_file

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.contract.datasets import DataSource
    from backbonekit.contract.scores import Scores

KNOWN = (
    *("recipe", "weights", "revision", "split", "task", "results", "output", "card", "report"),
    *("batch_size", "format", "device", "seed"),
)
_WIDTH = 100  # columns of a table in a file
EXPERIMENT, CARD = "experiment.yaml", "README.md"
USAGE = """usage: backbonekit evaluate recipe=FOLDER data=FORMAT data.root=FOLDER data.val=FILE [key=value ...]

examples:
  backbonekit evaluate recipe=runs/x data=coco data.root=photos data.val=val.json results=scores.json output=plots
  backbonekit evaluate recipe=runs/x card=true report=scores.html
  backbonekit evaluate recipe=runs/m1 data=mask_folders data.root=fields data.val=val task=semantic batch_size=8

Prints the main metric, all metrics, and a table of each class. A run of `train` knows its data, so that data= may be
left out. Any key of data can be set, and any key of the recipe, as in `build`. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  --import MODULE   load a module that registers parts or data formats of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    import_parts(arguments.imports)
    data, others = _data(arguments)
    _check(arguments, data)
    assert data is not None
    from backbonekit.data import open_data

    split = arguments.literals.get("split", "val")
    source = open_data(data)
    images = source.split(split)
    model = start_model(arguments, others)
    _take_labels(model, source, data)
    warning = weights_note(model.weight_report)
    if warning:
        note(warning)
    scores, failed = _evaluated(model, images, arguments.literals)
    _write(scores, arguments.literals, data, split)
    if "report" in arguments.literals:
        from backbonekit.assembly.report import Findings

        findings = Findings(split=images, split_name=f"{data['name']}, {split}", scores=scores)
        status(write_report(arguments.literals["report"], model, findings))
    return report_failed(failed, len(images))


def _data(arguments: Arguments) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The data's settings, and the overrides of the recipe. Without data= those of the run that recipe= names."""
    data, augmentation, others = None, None, arguments.overrides
    mine = [
        word for word in arguments.overrides if word.partition("=")[0].partition(".")[0] in ("data", "augmentation")
    ]
    run = Path(arguments.literals.get("recipe", "")).expanduser() / EXPERIMENT
    if "recipe" in arguments.literals and run.is_file() and not any(word.startswith("data=") for word in mine):
        others = [word for word in arguments.overrides if word not in mine]
        data = compose_experiment(read_yaml_file(run), mine).data
        given = any(word.startswith("augmentation") for word in mine)
    else:
        data, augmentation, others = compose_data(arguments.overrides, config_dir=arguments.config_dir)
        given = augmentation is not None
    if given:
        raise RecipeError("augmentation: images are measured as they are; leave it out.")
    return data, others


def _check(arguments: Arguments, data: Mapping[str, Any] | None) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    literals = arguments.literals
    faults = start_faults(arguments, verb="evaluate", does="measures one model")
    if data is None:
        faults.append(
            "no data: give data=FORMAT with its options, such as data=coco data.root=photos data.val=val.json."
        )
    for name in ("output", "results", "split"):
        if name in literals and not literals[name]:
            faults.append(f"{name}= needs a value.")
    if literals.get("results") and Path(literals["results"]).suffix.lower() != ".json":
        faults.append(f"results={literals['results']}: must end in .json.")
    if literals.get("output") and Path(literals["output"]).is_file():
        faults.append(f"output={literals['output']}: is a file; plots are written into a folder.")
    if literals.get("card") == "true" and (
        "recipe" not in literals or not (Path(literals["recipe"]).expanduser() / CARD).is_file()
    ):
        faults.append(f"card=true: there is no {CARD} in recipe={literals.get('recipe', '')}; a saved model has one.")
    faults += report_faults(literals)
    if faults:
        raise RecipeError(faults)


def _take_labels(model: "ComposedModel", source: "DataSource", data: Mapping[str, Any]) -> None:
    """The names and ids of the data's classes, which must be those of the model. Raises RecipeError."""
    known = Experiment(model.recipe, data).with_labels(source.labels)
    if known.model.labels != model.labels:
        model.rename_classes(known.model.labels)


def _evaluated(model: "ComposedModel", split: Any, literals: Mapping[str, str]) -> tuple["Scores", tuple[str, ...]]:
    from backbonekit.assembly.evaluate import evaluate

    batch_size = int(literals.get("batch_size", "1"))
    with bar(len(split), unit="images") as progress:
        found = evaluate(
            model,
            split,
            task=literals.get("task"),
            batch_size=batch_size,
            progress=lambda done, _: progress.update(done - progress.n),
        )
    return found.scores, found.failed


def _write(scores: "Scores", literals: Mapping[str, str], data: Mapping[str, Any], split: str) -> None:
    from backbonekit.cli.scores_text import scores_text
    from backbonekit.postprocessing.writing import write_file

    content = {**scores.to_dict(), "data": data["name"], "split": split}
    if literals.get("format") == "json":
        print(json.dumps(content, allow_nan=False))
    else:
        print(scores_text(scores, width=terminal_width() or _WIDTH))
    if "results" in literals:
        write_file(literals["results"], (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    if "output" in literals:
        from backbonekit.evaluation.plots import score_plots

        for name, plot in score_plots(scores).items():
            write_file(Path(literals["output"]) / name, plot)
    if literals.get("card") == "true":
        from backbonekit.assembly.scored_card import write_scores

        write_scores(Path(literals["recipe"]).expanduser(), scores, data=data, split=split)
    if literals.get("format") != "json":
        for name in ("results", "output"):
            if name in literals:
                print(printable(f"{name}: {literals[name]}"))
