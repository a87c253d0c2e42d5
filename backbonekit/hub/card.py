"""The model card, README.md of a saved model, for people and for the Hub."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backbonekit.contract.processing import Processing
from backbonekit.hub.licences import LICENCES, OTHER
from backbonekit.weights.hub import COMMIT, is_identifier

_LICENCE = re.compile(r"[\w.+\-]{1,60}", re.ASCII)
_TAG = re.compile(r"[\w.:\-]{1,60}", re.ASCII)
_SHOWN_CLASSES = 200
# Where a path starts: not inside a word, an address or owner/name.
_LOCAL_PATH = re.compile(r"(?<![\w:/.@\-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\`'\"|]+[/\\])*([^\s/\\`'\"|,;]+)")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card contains.

    `name`: the model's, for people. `parts`: a line each, from backbone to head. `weights`: a line on each part's
    weights. `licences`: identifiers such as apache-2.0, of the weights that the model started from. `base_model`: a Hub
    id, with `base_commit`; `other_bases`: Hub ids that other parts started from. `classes`: their names.
    `pipeline_tag`: the Hub's name of the task. `architecture`: transformers' class where the model is saved for it, and
    `notes`: what of the recipe its configuration does not hold.
    """

    name: str
    parts: Sequence[str] = ()
    weights: Sequence[str] = ()
    licences: Sequence[str] = ()
    base_model: str | None = None
    base_commit: str | None = None
    other_bases: Sequence[str] = ()
    classes: Sequence[str] = ()
    pipeline_tag: str | None = None
    architecture: str | None = None
    notes: Sequence[str] = ()
    tags: Sequence[str] = field(default_factory=tuple)


def model_card(facts: CardFacts, processing: Processing) -> str:
    """README.md, with the header that the Hub reads. Paths of this machine are cut to their last part."""
    lines = [*_header(facts), "", f"# {plain_line(facts.name)}", ""]
    written = "from the recipe in `recipe.yaml`" if facts.architecture is None else "and saved as transformers reads it"
    lines += [f"Composed with backbonekit {written}.", ""]
    lines += _listing("Parts", facts.parts)
    lines += ["## Use", "", "```python", *_use(facts.architecture), "```", ""]
    lines += _listing("Not in config.json", facts.notes)
    lines += _listing("Input", _input_lines(processing))
    if facts.classes:
        more = len(facts.classes) - _SHOWN_CLASSES
        names = [f"{number}: {name}" for number, name in enumerate(facts.classes[:_SHOWN_CLASSES])]
        lines += _listing("Classes", [*names, f"and {more} more, in the model's labels"] if more > 0 else names)
    weights = list(facts.weights)
    if (
        facts.base_model
        and is_identifier(facts.base_model)
        and facts.base_commit
        and COMMIT.fullmatch(facts.base_commit)
    ):
        weights.append(f"The backbone was started from {facts.base_model} at commit {facts.base_commit}.")
    lines += _listing("Weights", weights)
    return "\n".join(lines).rstrip("\n") + "\n"


def without_local_paths(text: str) -> str:
    """A text in which every absolute path, and every mention of the user's folder, is cut to its last part."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    return _LOCAL_PATH.sub(lambda found: found.group(1), text)


def _use(architecture: str | None) -> list[str]:
    if architecture is None:
        opened = 'model = bk.load_model("PATH_OR_HUB_ID")'
        return ["import backbonekit as bk", "", opened, 'results = model.predict(["image.jpg"])']
    return [
        f"from transformers import AutoImageProcessor, {architecture}",
        "",
        'processor = AutoImageProcessor.from_pretrained("PATH_OR_HUB_ID")',
        f'model = {architecture}.from_pretrained("PATH_OR_HUB_ID")',
    ]


def _header(facts: CardFacts) -> list[str]:
    library = "backbonekit" if facts.architecture is None else "transformers"
    lines = ["---", f"library_name: {library}"]
    bases = [one for one in dict.fromkeys((facts.base_model, *facts.other_bases)) if one and is_identifier(one)]
    lines += _licence([one for one in dict.fromkeys(facts.licences) if _LICENCE.fullmatch(one)], bases)
    if len(bases) == 1:
        lines.append(f"base_model: {json.dumps(bases[0])}")
    elif bases:
        lines += ["base_model:", *(f"  - {json.dumps(one)}" for one in bases)]
    if facts.pipeline_tag and _TAG.fullmatch(facts.pipeline_tag):
        lines.append(f"pipeline_tag: {json.dumps(facts.pipeline_tag)}")
    tags = [tag for tag in ("backbonekit", *facts.tags) if _TAG.fullmatch(tag)]
    return [*lines, "tags:", *(f"  - {json.dumps(tag)}" for tag in dict.fromkeys(tags)), "---"]


def _licence(found: Sequence[str], bases: Sequence[str]) -> list[str]:
    """The Hub refuses a licence that it does not know, and takes one for all weights."""
    if len(found) == 1 and found[0] in LICENCES:
        return [f"license: {json.dumps(found[0])}"]
    if not found:
        return []
    link = [f"license_link: https://huggingface.co/{bases[0]}"] if bases else []
    return [f"license: {OTHER}", f"license_name: {json.dumps('-and-'.join(found).lower())}", *link]


def _listing(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {plain_line(line)}" for line in lines), ""] if lines else []


def plain_line(text: str) -> str:
    """One line without control characters or HTML, which a name from somebody else's file could bring in."""
    plain = "".join(character if character.isprintable() else " " for character in without_local_paths(text))
    return plain.replace("<", "&lt;").strip()


def _input_lines(processing: Processing) -> list[str]:
    lines = []
    if processing.size is not None and processing.keep_aspect_ratio:
        lines.append(
            f"Resized at its own aspect ratio towards {processing.size[0]} x {processing.size[1]} (height x width), to"
            f" multiples of {processing.multiple_of}."
        )
    elif processing.size is not None:
        lines.append(f"Resized to {processing.size[0]} x {processing.size[1]} (height x width).")
    elif processing.shortest_edge is not None:
        bound = f", the longer one at most {processing.longest_edge}" if processing.longest_edge else ""
        lines.append(f"Resized so that the shorter side has {processing.shortest_edge} pixels{bound}.")
    elif processing.longest_edge is not None:
        lines.append(f"Resized so that the longer side has {processing.longest_edge} pixels.")
    elif processing.max_size is not None:
        height, width = processing.max_size
        lines.append(f"Resized at its own aspect ratio to fit into {height} x {width} (height x width).")
    if processing.size_divisor > 1:
        lines.append(f"Both sides rounded up to multiples of {processing.size_divisor}.")
    if processing.crop is not None:
        lines.append(f"Centre crop of {processing.crop[0]} x {processing.crop[1]}.")
    if processing.canvas is not None:
        lines.append(f"Padded to {processing.canvas[0]} x {processing.canvas[1]}.")
    mean, std = (", ".join(f"{number:.6g}" for number in numbers) for numbers in (processing.mean, processing.std))
    lines.append(
        f"Scaled to [0, 1], mean ({mean}) taken away, divided by ({std}). Resampling: {processing.interpolation}."
    )
    return lines
