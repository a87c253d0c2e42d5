"""`backbonekit check`: what a data set holds, what is wrong with it, and a sheet of its images with their targets."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import help_text, import_parts, parse_arguments
from backbonekit.cli.messages import note, status
from backbonekit.cli.text import printable, table
from backbonekit.cli.values import value_faults
from backbonekit.contract.progress import bar
from backbonekit.errors import RecipeError
from backbonekit.recipe.experiment_compose import compose_data

if TYPE_CHECKING:
    from backbonekit.contract.datasets import DataSource, Split
    from backbonekit.contract.labels import Labels
    from backbonekit.data.findings import Findings

_SHOWN = 20
_SPLITS = ("train", "val", "test")
KNOWN = ("output", "format", "seed")
USAGE = """usage: backbonekit check data=FORMAT data.root=FOLDER data.train=FILE [key=value ...]

examples:
  backbonekit check data=coco data.root=photos data.train=train.json data.val=val.json
  backbonekit check data=mask_folders data.root=fields data.train=images data.train_masks=maps output=sheet.png
  backbonekit check data=yolo data.root=boats data.train=images/train output=sheet.png 'augmentation=[mosaic]'

Reads every image of every split: counts by class, sizes, what cannot be used, images without a target, and of images of
other channels or units than 8-bit colours the mean and deviation of each channel. With output= it
draws 16 images of the first split with their targets, behind the augmentation if one is given. The formats:
`backbonekit list data`. Other arguments:
"""
FLAGS = """
  --import MODULE   load a module that registers data formats or augmentations of your own
  -q, --quiet       no notes and no progress: results and errors alone

exit codes: 0 nothing is wrong, 1 something cannot be used, 2 the data set cannot be opened
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    import_parts(arguments.imports)
    literals = arguments.literals
    data, augmentation, others = compose_data(arguments.overrides, config_dir=arguments.config_dir)
    _refuse(literals, data, augmentation, [*others, *([f"model={arguments.model}"] if arguments.model else [])])
    assert data is not None
    from backbonekit.data import open_augmentation, open_data
    from backbonekit.data.findings import examine

    source = open_data(data)
    steps = open_augmentation(augmentation)  # type: ignore[arg-type]
    splits = {name: _examined(source, name) for name in _SPLITS if data.get(name)}
    found: dict[str, Findings] = {}
    for name, split in splits.items():
        with bar(len(split), unit="images", title=name) as progress:
            found[name] = examine(split, progress=progress.update)
    if literals.get("format") == "json":
        print(json.dumps({name: _plain(findings, source.labels) for name, findings in found.items()}, indent=1))
    else:
        for name, findings in found.items():
            print(printable(_text(name, findings, source.labels)))
    if "output" in literals:
        _draw(next(iter(splits.values())), source, steps, literals)
    return 1 if any(findings.faults for findings in found.values()) else 0


def _refuse(
    literals: Mapping[str, str], data: Mapping[str, Any] | None, augmentation: Any, others: Sequence[str]
) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    faults = [f"{word}: check takes data= and augmentation= alone." for word in others]
    if data is None:
        faults.append("no data: give data=FORMAT, such as data=coco; `backbonekit list data` names the formats.")
    if augmentation == "paper":
        faults.append("augmentation=paper follows a model, and check has none; give steps, as augmentation=[mosaic].")
    faults += value_faults(literals)
    if "output" in literals and not literals["output"]:
        faults.append("output= needs a path.")
    if augmentation is not None and "output" not in literals:
        faults.append("augmentation= changes what output= draws; give output=sheet.png.")
    if faults:
        raise RecipeError(faults)
    if "output" in literals:
        from backbonekit.postprocessing.writing import image_format

        image_format(Path(literals["output"]))


def _examined(source: "DataSource", name: str) -> "Split":
    """Of files those that are there, with the faults of the rest; of a table every row."""
    from backbonekit.data.file_data import FileData
    from backbonekit.data.hf_datasets import HfDatasets

    return source.examined(name) if isinstance(source, FileData | HfDatasets) else source.split(name)


def _draw(split: "Split", source: "DataSource", steps: Sequence[Any], literals: Mapping[str, str]) -> None:
    from backbonekit.assembly.contact_sheet import contact_sheet
    from backbonekit.postprocessing.writing import write_image

    if not len(split):
        note("no image to draw.")
        return
    sheet = contact_sheet(split, source.labels, steps=steps, seed=int(literals.get("seed", "0")))
    write_image(Path(literals["output"]), sheet)
    status(f"drawing: {literals['output']}")


def _text(name: str, findings: "Findings", labels: "Labels | None") -> str:
    lines = [f"{name}: {findings.num_images:,} images"]
    sizes = findings.size_range()
    if sizes is not None:
        shown = {key: f"{height} x {width}" for key, (height, width) in sizes.items()}
        same = shown["smallest"] == shown["largest"]
        text = shown["smallest"] if same else "{smallest} to {largest}, median {median}".format(**shown)
        lines.append(f"  height x width: {text}")
    if findings.channels:
        counts = ", ".join(f"{channels} ({count:,} images)" for channels, count in sorted(findings.channels.items()))
        lines.append(f"  channels: {next(iter(findings.channels)) if len(findings.channels) == 1 else counts}")
    if findings.values is not None:
        lines.append(f"  values: {_short(findings.values.low)} to {_short(findings.values.high)}")
        lines.append(f"  processing.mean={_numbers(findings.values.mean)}")
        lines.append(f"  processing.std={_numbers(findings.values.std)}")
    if findings.depth is not None:
        lines.append(f"  depth: {findings.depth[0]:.4g} to {findings.depth[1]:.4g}")
    if findings.images:
        lines += ["", *(f"  {line}" for line in _class_table(findings, labels).splitlines()), ""]
    lines += _counts("keypoints, annotated", findings, labels)
    lines += [f"  {note}" for note in findings.notes]
    if findings.narrow_boxes:
        lines.append(f"  boxes narrower than two pixels: {findings.narrow_boxes:,}")
    absent = findings.absent_classes(labels) if not findings.keypoints else []
    lines += _listed("classes that no image has", absent)
    lines += _listed("images without a target", findings.without_target)
    lines += _listed("cannot be used", findings.faults)
    return "\n".join(lines).rstrip() + "\n"


def _numbers(values: Sequence[float]) -> str:
    """As a recipe's list on the command line."""
    return f"[{','.join(map(_short, values))}]"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _class_table(findings: "Findings", labels: "Labels | None") -> str:
    """A row for each class that is there."""
    total = sum(findings.pixels.values())
    header = ["class", "images", *(["objects"] if findings.objects else []), *(["pixels"] if total else [])]
    rows = []
    names = None if findings.keypoints and labels is not None else labels
    for number in sorted(findings.images):
        is_class = names is None or 0 <= number < len(names.names)
        row = [str(number) if names is None else names.name(number) if is_class else f"{number} (no class)"]
        row.append(f"{findings.images[number]:,}")
        row += [f"{findings.objects[number]:,}"] if findings.objects else []
        row += [f"{findings.pixels[number] / total:.2%}"] if total else []
        rows.append(row)
    return table(header, rows, right=range(1, len(header)))


def _counts(what: str, findings: "Findings", labels: "Labels | None") -> list[str]:
    if not findings.keypoints:
        return []
    named = labels is not None and len(labels.names) == len(findings.keypoints)
    names = [labels.name(index) if named and labels else str(index) for index in findings.keypoints]
    pairs = zip(names, findings.keypoints.values(), strict=True)
    return [f"  {what}: {', '.join(f'{name} {count:,}' for name, count in pairs)}"]


def _listed(what: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"    ... and {len(items) - _SHOWN:,} more"] if len(items) > _SHOWN else []
    return [f"  {what}: {len(items):,}", *(f"    {item}" for item in items[:_SHOWN]), *more]


def _plain(findings: "Findings", labels: "Labels | None") -> dict[str, Any]:
    def named(counts: Mapping[int, int]) -> dict[str, int]:
        names = None if findings.keypoints else labels
        return {str(key) if names is None else names.name(key): count for key, count in sorted(counts.items())}

    values = findings.values
    return {
        "images": findings.num_images,
        "sizes": findings.size_range(),
        "channels": {str(channels): count for channels, count in findings.channels.items()},
        "values": None
        if values is None
        else {"low": values.low, "high": values.high, "mean": values.mean, "std": values.std},
        "images_by_class": named(findings.images),
        "objects_by_class": named(findings.objects),
        "pixels_by_class": named(findings.pixels),
        "keypoints": list(findings.keypoints.values()),
        "depth": findings.depth,
        "narrow_boxes": findings.narrow_boxes,
        "absent_classes": [] if findings.keypoints else findings.absent_classes(labels),
        "without_target": findings.without_target,
        "notes": list(findings.notes),
        "faults": findings.faults,
    }
