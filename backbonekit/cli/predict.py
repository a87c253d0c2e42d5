"""`backbonekit predict`: images in, predictions out: as text, drawn, and as COCO-style JSON."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.drawing import DRAWN_WITH, drawing_faults, drawing_options
from backbonekit.cli.engines import engine_faults
from backbonekit.cli.found import Found
from backbonekit.cli.images import image_faults, images_of, report_failed
from backbonekit.cli.large_images import is_large, large_faults, predict_large_images
from backbonekit.cli.messages import note
from backbonekit.cli.start import (
    names_onnx_file,
    start_faults,
    start_model,
    weights_note,
)
from backbonekit.cli.values import value_faults
from backbonekit.contract.progress import bar
from backbonekit.errors import RecipeError, StorageError
from backbonekit.weights.untrusted_files import user_path

if TYPE_CHECKING:
    from backbonekit.assembly.inference import Predictor
    from backbonekit.inference.leftovers import Leftover, Leftovers

KNOWN = (
    *("recipe", "weights", "revision", "image", "output", "results", "task", "threshold", *DRAWN_WITH),
    *("tile", "overlap", "augment", "engine", "workers", "format", "device", "seed"),
)
USAGE = """usage: backbonekit predict recipe=FOLDER image=FILE [key=value ...]

examples:
  backbonekit predict recipe=runs/m1 image=image.jpg output=out.png
  backbonekit predict recipe=runs/m1 image=image.jpg output=out.png threshold=0.7 num_names=10 legend=true
  backbonekit predict recipe=runs/m1 image=images output=drawn results=drawn/results.json
  backbonekit predict recipe=USER/REPOSITORY image=image.jpg task=semantic
  backbonekit predict model=maskformer_resnet50 image=image.jpg
  backbonekit predict recipe=model.onnx image=image.jpg
  backbonekit predict recipe=runs/m1 image=scene.tif tile=1024 overlap=128 output=classes.tif

Prints what was found. Nothing is written without output= or results=. Any key of the recipe can be set, as in `build`.
Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
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
    images = images_of(arguments.literals["image"])
    outputs = _outputs(arguments, images)
    if names_onnx_file(arguments):
        from backbonekit.export.onnx_model import load_onnx

        exported = load_onnx(arguments.literals["recipe"])
        drawn = drawing_options(arguments.literals, None)
        return _predict(exported, images, outputs, arguments.literals, drawn, threshold=exported.metadata.threshold)
    model = start_model(arguments, arguments.overrides)
    warning = weights_note(model.weight_report)
    if warning:
        note(warning)
    drawn = drawing_options(arguments.literals, model.weight_report)
    if is_large(arguments.literals):
        return predict_large_images(model, images, outputs, arguments.literals, drawn)
    return _predict(model, images, outputs, arguments.literals, drawn)


def _predict(
    model: "Predictor",
    images: list[Path],
    outputs: dict[Path, Path],
    literals: dict[str, str],
    drawn: Mapping[str, Any],
    *,
    threshold: float | None = None,
) -> int:
    """`drawn`: the options of `draw`. `threshold`: where threshold= does not give one."""
    from backbonekit.image_processing.pixels import channels_of
    from backbonekit.inference.leftovers import Leftovers

    threshold = float(literals["threshold"]) if "threshold" in literals else threshold
    labels = model.result_labels(literals.get("task"))
    found = Found(literals, labels)
    leftovers = Leftovers(labels, outputs, drawn)
    failed: list[str] = []
    grey = 0
    with bar(len(images), unit="images", disable=len(images) == 1) as progress:
        for left in _each(model, images, leftovers, found, literals, threshold):
            progress.update()
            if left.error is not None:
                if len(images) == 1:
                    raise left.error
                failed.append(str(left.error))
                continue
            found.tell(left.name, left.summary)
            if left.note is not None:
                note(left.note)
            grey += left.is_grey
    channels = channels_of(model.processor.processing)
    if grey and channels > 1:
        was = "image was" if grey == 1 else "images were"
        note(f"{grey} grey {was} repeated for the {channels} channels of the model.")
    found.finish(failed)
    return report_failed(failed, len(images))


def _each(
    model: "Predictor",
    images: list[Path],
    leftovers: "Leftovers",
    found: Found,
    literals: dict[str, str],
    threshold: float | None,
) -> "Iterator[Leftover]":
    """What each image leaves behind, on this machine or by a Ray cluster."""
    task = literals.get("task")
    if literals.get("engine", "local") == "local":
        from backbonekit.assembly.predict import predict_each

        processing = model.processor.processing
        for position, prediction in enumerate(predict_each(model, images, task=task, threshold=threshold)):
            yield leftovers.write(prediction, processing, found.results, position)
        return
    from backbonekit.inference.cluster_predictions import predict_over_cluster

    workers = int(literals["workers"]) if "workers" in literals else None
    yield from predict_over_cluster(
        model, images, leftovers, found.results, task=task, threshold=threshold, workers=workers
    )


def _check(arguments: Arguments) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    literals = arguments.literals
    if names_onnx_file(arguments):
        faults = _onnx_faults(arguments) + value_faults(literals)
    else:
        faults = start_faults(arguments, verb="predict", does="runs one model")
    faults += image_faults(literals.get("image"))
    faults += drawing_faults(literals)
    faults += large_faults(literals)
    faults += engine_faults(literals)
    if literals.get("engine", "local") == "local" and "workers" in literals:
        faults.append("workers= is of engine=ray here; one machine predicts one image after the other.")
    if names_onnx_file(arguments) and (is_large(literals) or literals.get("engine") == "ray"):
        faults.append("recipe=FILE.onnx does not go with tile=, overlap=, augment= and engine=ray.")
    if literals.get("engine") == "ray" and is_large(literals):
        faults.append("engine=ray does not go with tile=, overlap= and augment=.")
    for name in ("output", "results"):
        if name in literals and not literals[name]:
            faults.append(f"{name}= needs a path.")
    if literals.get("results") and Path(literals["results"]).suffix.lower() not in (".json", ".jsonl"):
        faults.append(f"results={literals['results']}: must end in .json or .jsonl.")
    if faults:
        raise RecipeError(faults)


def _onnx_faults(arguments: Arguments) -> list[str]:
    """What is wrong with an exported file, or does not go together with one."""
    literals = arguments.literals
    faults = []
    if arguments.multirun or arguments.cfg:
        faults.append("-m and --cfg belong to `build`; `predict` runs one model.")
    if not user_path(literals["recipe"]).is_file():
        faults.append(f"recipe={literals['recipe']}: no such file.")
    if arguments.overrides:
        faults.append(
            f"{arguments.overrides[0]}: an exported file is as it was exported. The fix: the change in `backbonekit "
            f"export`."
        )
    if literals.get("device", "cpu") != "cpu":
        faults.append(f"device={literals['device']}: an exported file runs on cpu here.")
    idle = [name for name in ("revision", "seed", "tile", "overlap", "augment") if name in literals]
    faults += [f"{name}= has no meaning for an exported file." for name in idle]
    if literals.get("engine", "local") != "local":
        faults.append(f"engine={literals['engine']}: an exported file runs on this machine.")
    return faults


def _outputs(arguments: Arguments, images: list[Path]) -> dict[Path, Path]:
    """Where each drawing goes; empty without output=. Checked before the model is loaded: an image given is never
    written over, and no two drawings share a name."""
    given = arguments.literals.get("output")
    if given is None:
        return {}
    from backbonekit.image_processing.reading import SUFFIXES
    from backbonekit.postprocessing.map_files import is_map_file
    from backbonekit.postprocessing.writing import image_format

    output = user_path(given)
    several = user_path(arguments.literals["image"]).is_dir()
    if several and output.is_file():
        raise StorageError(f"output={given}: is a file; for a folder of images a folder is expected.")
    if several and not output.is_dir() and output.suffix.lower() in SUFFIXES:
        raise RecipeError(f"output={given}: is the name of one image; for a folder of images a folder is expected.")
    if several or output.is_dir() or given.endswith(("/", os.sep)) or not output.suffix:
        outputs = {image: output / name for image, name in zip(images, _names(images), strict=True)}
    else:
        if not (is_large(arguments.literals) and is_map_file(output)):
            image_format(output)
        outputs = {images[0]: output}
    given_files = {image.resolve() for image in images}
    overwritten = [path for path in outputs.values() if path.resolve() in given_files]
    if overwritten:
        raise RecipeError(f"output={given}: {overwritten[0]} is one of the images given; choose another path.")
    return outputs


def _names(images: list[Path]) -> list[str]:
    """One PNG an image, by its stem; by its whole name, then with a number, where that is taken (a.jpg and a.png)."""
    names: list[str] = []
    taken: set[str] = set()  # lower case: there are file systems that do not tell the two apart
    for number, image in enumerate(images, 1):
        choices = (f"{image.stem}.png", f"{image.name}.png", f"{image.stem}_{number}.png")
        names.append(next((name for name in choices if name.lower() not in taken), f"{number}_{image.name}.png"))
        taken.add(names[-1].lower())
    return names
