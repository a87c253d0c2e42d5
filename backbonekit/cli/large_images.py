"""`predict` with tile= or augment=: one image after the other, in windows, and class maps as TIFF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbonekit.cli.found import Found
from backbonekit.cli.images import report_failed
from backbonekit.cli.messages import note
from backbonekit.contract.progress import bar
from backbonekit.errors import ContractError, StorageError

_USUAL_OVERLAP = 8  # of a tile's side


def is_large(literals: Mapping[str, str]) -> bool:
    """Whether images are predicted one by one in windows, or from several views."""
    return bool({"tile", "overlap", "augment"} & literals.keys())


def large_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with tile=, overlap= and augment=, as far as it shows before the model is built."""
    faults = [
        f"{name}={literals[name]}: must be a whole number of pixels."
        for name in ("tile", "overlap")
        if name in literals and not literals[name].isdecimal()
    ]
    if "augment" in literals and _augment(literals["augment"]) is None:
        faults.append(f"augment={literals['augment']}: flip and scales with commas, as augment=[flip,0.75,1.25].")
    return faults


def predict_large_images(
    model: Any,
    images: Sequence[Path],
    outputs: Mapping[Path, Path],
    literals: Mapping[str, str],
    drawn: Mapping[str, Any],
) -> int:
    """Predicts, prints and writes. `drawn`: the options of `draw`. Returns the exit code."""
    from backbonekit.assembly.predict import predict_large
    from backbonekit.image_processing.scenes import open_scene

    tile = int(literals["tile"]) if "tile" in literals else None
    overlap = int(literals["overlap"]) if "overlap" in literals else (tile or 0) // _USUAL_OVERLAP
    labels = model.result_labels(literals.get("task"))
    found = Found(literals, labels)
    options: dict[str, Any] = {
        "tile": tile,
        "overlap": overlap,
        "augment": _augment(literals.get("augment", "")) or [],
        "task": literals.get("task"),
        "threshold": float(literals["threshold"]) if "threshold" in literals else None,
    }
    failed = []
    for position, image in enumerate(images):
        with bar(1, unit="tiles", title=image.name[:40]) as progress:

            def shown(done: int, total: int, progress: Any = progress) -> None:
                progress.total = total
                progress.update(done - progress.n)

            try:
                result = predict_large(model, image, **options, progress=shown)
                if image in outputs:
                    _write(outputs[image], image, result, labels, drawn)
            except (StorageError, ContractError) as error:
                if len(images) == 1:
                    raise
                failed.append(str(error))
                continue
        found.add(image, open_scene(image).size, result, position)
    found.finish(failed)
    return report_failed(failed, len(images))


def _write(output: Path, image: Path, result: Any, labels: Any, drawn: Mapping[str, Any]) -> None:
    from backbonekit.image_processing.reading import open_image
    from backbonekit.postprocessing.map_files import is_map_file, write_map
    from backbonekit.postprocessing.writing import write_image
    from backbonekit.visualization.draw import draw

    if is_map_file(output):
        if not write_map(output, result, image):
            note(f"{image.name} has no georeference, so {output} has none.")
        return
    write_image(output, draw(open_image(image), result, labels, **drawn))


def _augment(text: str) -> list[str | float] | None:
    """`[flip, 0.75]` as a list, or None for anything else."""
    found: list[str | float] = []
    for word in (word.strip() for word in text.strip().removeprefix("[").removesuffix("]").split(",")):
        if word == "flip":
            found.append(word)
            continue
        try:
            found.append(float(word))
        except ValueError:
            return None
    return found
