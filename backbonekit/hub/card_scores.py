"""Scores in a model card: `model-index`, from which the Hub shows evaluation results, and a table for people."""

import json
import math
import re
from collections.abc import Mapping

from backbonekit.contract.scores import Scores
from backbonekit.errors import StorageError
from backbonekit.hub.card import plain_line

# What a prediction was measured as -> the Hub's word for the task.
_TASKS: Mapping[str, str] = {
    "classification": "image-classification",
    "semantic": "image-segmentation",
    "instance": "image-segmentation",
    "panoptic": "image-segmentation",
    "detection": "object-detection",
    "depth": "depth-estimation",
    "keypoints": "keypoint-detection",
}
_HEADER = re.compile(r"\A---\n(?P<fields>.*?\n)---\n", re.DOTALL)
_INDEX = re.compile(r"^model-index:\n(?:[ \-].*\n)*", re.MULTILINE)
_TITLE = re.compile(r"^# (?P<name>.+)$", re.MULTILINE)
_SECTION = re.compile(r"^## Scores\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_USE = re.compile(r"^## Use$", re.MULTILINE)


def with_scores(card: str, scores: Scores, *, data: str, data_format: str, split: str) -> str:
    """The card with these scores in place of older ones.

    `data`: the name of the data set, for people. `data_format`: how it is stored (`coco`). `split`: which part was
    measured. Raises StorageError for a text that is no model card of ours.
    """
    header, title = _HEADER.match(card), _TITLE.search(card)
    if header is None or title is None:
        raise StorageError("this README.md is no model card: it needs a header between lines of --- and a title.")
    index = _model_index(title["name"], scores, data=data, data_format=data_format, split=split)
    fields = _INDEX.sub("", header["fields"])
    body = _SECTION.sub("", card[header.end() :])
    section = _section(scores, data=data, split=split)
    use = _USE.search(body)
    position = len(body) if use is None else use.start()
    return f"---\n{fields}{index}---\n{body[:position]}{section}{body[position:]}"


def _model_index(name: str, scores: Scores, *, data: str, data_format: str, split: str) -> str:
    lines = ["model-index:", f"  - name: {_text(name)}", "    results:"]
    for task, reading in scores.readings.items():
        metrics = {
            metric: value for metric, value in _defined(scores).items() if not task or metric.startswith(f"{task}/")
        }
        if not metrics:
            continue
        lines += ["      - task:", f"          type: {_TASKS.get(reading, reading)}"]
        lines += [f"          name: {_text(task or reading)}"]
        lines += ["        dataset:", f"          type: {_text(data_format)}", f"          name: {_text(data)}"]
        lines += [f"          split: {_text(split)}", "        metrics:"]
        for metric, value in metrics.items():
            short = metric.removeprefix(f"{task}/")
            lines += [
                f"          - type: {_text(short)}",
                f"            value: {value:.6f}",
                f"            name: {_text(short)}",
            ]
    return "".join(f"{line}\n" for line in lines) if len(lines) > 3 else ""


def _section(scores: Scores, *, data: str, split: str) -> str:
    name, _ = scores.main
    metrics = _defined(scores)
    if not metrics:
        return ""
    rows = [
        f"| {'**' if metric == name else ''}{metric}{'**' if metric == name else ''} | {value:.4g} |"
        for metric, value in metrics.items()
    ]
    what = f"Measured on {scores.num_images} images of {plain_line(data)} ({plain_line(split)})."
    return "\n".join(["## Scores", "", what, "", "| metric | value |", "|---|---|", *rows, "", ""])


def _defined(scores: Scores) -> dict[str, float]:
    return {metric: float(value) for metric, value in scores.summary.items() if math.isfinite(value)}


def _text(text: str) -> str:
    """A string of YAML on one line: JSON's are."""
    return json.dumps(plain_line(text))
