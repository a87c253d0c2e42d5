"""A model in one HTML page: what it is made of, how fast it is, what it finds, how it learned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.contact_sheet import contact_sheet, evenly_spaced
from backbonekit.assembly.describe import Description
from backbonekit.assembly.diagram import diagram_of
from backbonekit.assembly.look import look
from backbonekit.assembly.predict import predict
from backbonekit.assembly.wiring_table import title_of, wiring_table, written_shape
from backbonekit.contract.datasets import Split
from backbonekit.contract.plain_text import count, seconds
from backbonekit.contract.predictions import Heatmaps
from backbonekit.contract.scores import Scores
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.pixels import to_image
from backbonekit.recipe.dump import dump_recipe
from backbonekit.version import VERSION
from backbonekit.visualization.diagram_svg import diagram_svg
from backbonekit.visualization.draw import draw
from backbonekit.visualization.html_page import (
    Section,
    bullets,
    figure,
    html_page,
    html_table,
    paragraph,
    preformatted,
)
from backbonekit.visualization.overview import overview

_SAMPLES = 6  # images of a data set
_SIDE, _WIDEST = 400, 1200  # pixels, the longer side of each of several images, and of one alone


@dataclass(frozen=True, slots=True)
class Findings:
    """What a report shows beside the model itself, each where there is one. `image`: a file. `split`: images with
    targets, named by `split_name`. `scores`: of an evaluation. `log`: the CSV file of a training."""

    image: str | Path | None = None
    split: Split | None = None
    split_name: str = ""
    scores: Scores | None = None
    log: Path | None = None


def report_html(model: ComposedModel, description: Description, findings: Findings) -> str:
    """One page that needs no other file and no network. `description`: of a model that was run."""
    sections = [_wiring(description), _time(description), _weights(model, description)]
    sections += [] if findings.scores is None else [_scores(findings.scores)]
    sections += [] if findings.log is None else [_training(findings.log)]
    if findings.image is not None:
        sections += _of_image(model, findings.image)
    if findings.split is not None:
        sections += _of_split(model, findings.split, findings.split_name)
    sections.append(Section("Recipe", (preformatted(dump_recipe(model.recipe)),)))
    subtitle = (
        f"{count(description.parameters)} parameters, {count(description.flops)}FLOP and "
        f"{seconds(description.seconds)} for an input of {written_shape(description.input_shape)}; "
        f"backbonekit {VERSION}"
    )
    return html_page(title_of(model.recipe), subtitle, sections)


def _wiring(description: Description) -> Section:
    wiring = wiring_table(description)
    return Section(
        "Wiring",
        (
            f"<figure>{diagram_svg(diagram_of(description))}</figure>",
            html_table(wiring.header, wiring.rows, right=wiring.right),
        ),
    )


def _time(description: Description) -> Section:
    whole = description.seconds or 1.0
    rows = [
        (part.path, part.name, seconds(part.seconds), f"{part.seconds / whole:.0%}", count(part.flops))
        for part in description.parts
    ]
    once = "One forward pass, the first one, which is slower than later ones; backbonekit bench measures many."
    header = ("part", "name", "time", "share", "FLOPs")
    return Section("Time", (paragraph(once), html_table(header, rows, right=(2, 3, 4))))


def _weights(model: ComposedModel, description: Description) -> Section:
    rows = []
    for source in description.weights:
        fresh = source["fresh"]
        rows.append(
            (
                source["part"],
                source["origin"],
                count(source["parameters"]),
                count(source["loaded"]),
                ", ".join(fresh[:4]) + (f" and {len(fresh) - 4} more" if len(fresh) > 4 else ""),
                "; ".join(f"{name}: {how}" for name, how in source["adapted"]),
                source["licence"] or "",
            )
        )
    header = ("part", "origin", "parameters", "loaded", "new", "adapted", "licence")
    blocks = [html_table(header, rows, right=(2, 3))]
    if description.notes:
        blocks.append(bullets(description.notes))
    return Section("Weights", tuple(blocks))


def _scores(scores: Scores) -> Section:
    from backbonekit.evaluation.plots import score_plots

    name, value = scores.main
    blocks = [paragraph(f"{name} {value:.4g}, over {scores.num_images:,} images.")]
    blocks.append(
        html_table(("metric", "value"), [(key, _number(one)) for key, one in scores.summary.items()], right=(1,))
    )
    for table in scores.per_class:
        rows = [(label, *map(_number, values)) for label, _, values in table.rows]
        header = (table.title or "class", *table.columns)
        blocks.append(html_table(header, rows, right=range(1, len(header))))
    blocks += [figure(png, Path(name).stem.replace("_", " ")) for name, png in score_plots(scores).items()]
    return Section("Scores", tuple(blocks))


def _number(value: float) -> str:
    """- where the ground truth says nothing."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def _training(log: Path) -> Section:
    from backbonekit.evaluation.training_curves import training_plots

    plots = training_plots(log)
    blocks = [figure(png, Path(name).stem) for name, png in plots.items()]
    return Section("Training", tuple(blocks or [paragraph("The log of this training has no losses and no metrics.")]))


def _of_image(model: ComposedModel, image: str | Path) -> list[Section]:
    name, sections = Path(image).name, []
    if model.head is not None:
        (result,) = predict(model, [image])
        drawn = draw(image, result, model.result_labels(), legend=True, stamp=model.weights_warning)
        drawn.thumbnail((_WIDEST, _WIDEST))
        sections.append(Section("Prediction", (figure(drawn, name),)))
    return [*sections, Section("Features", _features(model, image, name))]


def _of_split(model: ComposedModel, split: Split, name: str) -> list[Section]:
    """Ground truth and predictions of the same images, and the features of the first one."""
    indices = evenly_spaced(split, _SAMPLES)
    blocks = [figure(contact_sheet(split, model.labels, count=_SAMPLES), f"Ground truth of images of {name}")]
    drawn, titles, first = [], [], None
    for index in indices:
        try:
            image, target = split[index]
        except StorageError:
            continue  # its message stands in the sheet of the ground truth
        first = image if first is None else first
        drawn.append(_predicted(model, image, target))
        titles.append(split.name(index).rpartition("/")[2])
    if not drawn:
        return [Section("Samples", tuple(blocks))]
    blocks.append(figure(overview(drawn, titles=titles, largest=_SIDE), "Predictions for the same images"))
    return [Section("Samples", tuple(blocks)), Section("Features", _features(model, first, titles[0]))]


def _predicted(model: ComposedModel, image: Any, target: Mapping[str, Any]) -> Any:
    if model.head is None:
        return to_image(image)
    of_persons = [model.prediction_kind(name) for name in model.tasks] == [Heatmaps] and "boxes" in target
    (result,) = predict(model, [image], boxes=[target["boxes"]] if of_persons else None)
    return draw(image, result, model.result_labels(), stamp=model.weights_warning)


def _features(model: ComposedModel, image: Any, name: str) -> tuple[str, ...]:
    what = "The backbone's maps: red, green and blue are the first three principal components of each."
    try:
        return paragraph(what), figure(look(model, image, title=name), f"Features of {name}")
    except ContractError as error:
        return (paragraph(f"The features could not be drawn: {error}"),)
