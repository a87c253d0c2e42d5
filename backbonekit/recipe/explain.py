"""Why a value of a recipe is what it is: its default, what files and overrides set, and what follows from others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.config_roots import GROUP
from backbonekit.recipe.key_docs import key_doc
from backbonekit.recipe.leaves import ABSENT, leaves, lookup
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.trace import By, Step, Trace
from backbonekit.registry.lookup import is_known
from backbonekit.registry.table import config_fields, options, processing_fields

_KINDS = ("neck", "head", "criterion")
# What a recipe has where nobody says anything, beside the options of its parts.
_OF_A_RECIPE = ("schema_version", "backbone", "neck", "head", "heads", "labels", "adapt", "training")


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a value's history. `value`: after it, ABSENT where it was left out."""

    value: Any
    by: By
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without a value where there is none."""
        value = {} if self.value is ABSENT else {"value": self.value}
        return {**value, "by": self.by, "source": self.source}


@dataclass(frozen=True, slots=True)
class Option:
    """What the option table says of a value: whose option it is, its schema, its default (ABSENT where it is
    required), what it does."""

    owner: str
    schema: Mapping[str, Any]
    default: Any
    doc: str


def matching_keys(recipe: Mapping[str, Any], key: str) -> list[str]:
    """The paths of all values of a flat recipe that a key names: its own, or those below it; "" is all of them. Raises
    RecipeError with the nearest key."""
    wanted = key.replace("/", ".").removeprefix(f"{GROUP}.").strip(".")
    known = [path for path, _ in leaves(recipe)]
    found = [path for path in known if not wanted or path == wanted or path.startswith(f"{wanted}.")]
    steps = tuple(wanted.split("."))
    if not found and lookup(recipe, steps) is not ABSENT:  # neck.0 of a single neck
        found = [path for path in known if path.startswith(wanted.replace(".0", "", 1))]
    if not found:
        ends = [path for path in known if path.split(".")[-1] == steps[-1]]
        hint = f"did you mean {' or '.join(ends[:3])}?" if ends else nearest(wanted, known)
        raise RecipeError(f"{key}: this recipe has no such key; {hint}")
    return found


def option_of(recipe: Mapping[str, Any], key: str) -> Option | None:
    """The option that a value is of; None for what is no option of a part, such as `adapt`."""
    steps = key.split(".")
    if steps[0] == "processing" and len(steps) > 1:
        return _option("processing", processing_fields(), steps[1])
    if steps[:2] == ["backbone", "config"] and len(steps) > 2:
        model_type = lookup(recipe, ("backbone", "config", "model_type"))
        fields = config_fields(model_type) if isinstance(model_type, str) else None
        return _option(f"the architecture {model_type}", fields, steps[2])
    kind, part, name = "", recipe, ABSENT
    node: Any = recipe
    for position, step in enumerate(steps):
        node = lookup(node, (step,))
        if isinstance(node, Mapping) and "name" in node:
            kind = next(one for one in reversed(steps[: position + 1]) if not one.isdecimal())
            part, name = node, steps[position + 1] if position + 1 < len(steps) else ABSENT
    if kind not in _KINDS or not is_known(kind, part.get("name")) or name in (ABSENT, "name"):
        return None
    return _option(f"{kind} {part['name']}", options(kind, part["name"]), name)


def _option(owner: str, table: Mapping[str, Mapping[str, Any]] | None, name: str) -> Option | None:
    entry = None if table is None else table.get(name)
    if entry is None:
        return None
    doc = key_doc(f"{owner}.{name}") or entry.get("doc", "")
    return Option(owner, entry["schema"], entry.get("default", ABSENT), doc)


def chain(trace: Trace, recipe: Recipe, key: str, *, wired: Recipe | None = None) -> list[Link]:
    """All that decided the value at `key`, first to last; the last link has its value.

    `recipe`: as it was composed. `wired`: the same with all that wiring decided, of which `key` then is; None where it
    was not wired.
    """
    links = []
    option = option_of((wired or recipe).to_dict(), key)
    if option is not None and option.default is not ABSENT:
        links.append(Link(option.default, "default", f"default of {option.owner}"))
    composed = key if wired is None else _before_insertion(key, recipe, wired)
    if composed is not None:
        links += _composed_links(trace, recipe.to_dict(), composed, has_default=bool(links))
    if wired is not None:
        value = lookup(wired.to_dict(), tuple(key.split(".")))
        if not links or links[-1].value != value:
            links.append(Link(value, "inference", _wiring(recipe, key)))
    return links


def unfinished_chain(trace: Trace, key: str) -> list[Link]:
    """The same of a recipe that was refused: the files and overrides that set the value, as far as there are any."""
    steps = key.replace("/", ".").removeprefix(f"{GROUP}.").strip(".")
    return _composed_links(trace, {}, steps, has_default=True)


def _composed_links(trace: Trace, flat: Mapping[str, Any], key: str, *, has_default: bool) -> list[Link]:
    steps = tuple(key.split("."))
    links: list[Link] = []
    before: Any = ABSENT
    for step in trace.steps:
        after = lookup(step.after, steps)
        source = _source(step, steps, changed=after != before)
        if source is not None:
            links.append(Link(after, step.by, source))
        before = after
    final = lookup(flat, steps)
    if final is not ABSENT and (links[-1].value != final if links else not has_default):
        links.append(_filled_in(flat, key, final, was_given=before is not ABSENT))
    return links


def _before_insertion(key: str, recipe: Recipe, wired: Recipe) -> str | None:
    """The key of the same value before wiring put necks in front of the others; None for one of those."""
    steps = key.split(".")
    if "neck" not in steps:
        return key
    position = steps.index("neck")
    task = steps[1] if steps[0] == "heads" else ""
    before, after = recipe.tasks[task].neck, wired.tasks[task].neck
    if recipe.heads and not task:
        before, after = recipe.neck, wired.neck
    inserted = len(after) - len(before)
    if not inserted:
        return key
    index = int(steps[position + 1]) if len(after) > 1 else 0
    if index < inserted:
        return None
    rest = steps[position + 2 :] if len(after) > 1 else steps[position + 1 :]
    return ".".join([*steps[: position + 1], str(index - inserted), *rest])


def _wiring(recipe: Recipe, key: str) -> str:
    """What of a recipe a value follows from that wiring decided."""
    backbone = recipe.backbone
    steps = key.split(".")
    if key == "backbone.out_indices":
        for given, values in (("out_strides", backbone.out_strides), ("out_features", backbone.out_features)):
            if values is not None:
                return f"wiring: the positions of backbone.{given}={list(values)}"
        parts = [
            part for task in recipe.tasks.values() for part in (*recipe.shared_neck, *task.neck, task.head) if part
        ]
        if not parts:
            return "wiring: the last stage, since no neck and no head follow"
        return f"wiring: the maps that {' and '.join(dict.fromkeys(part.name for part in parts))} require"
    name = backbone.name or (backbone.config or {}).get("model_type")
    if steps[0] == "processing":
        return f"wiring: as the images of backbone {name} are prepared"
    if steps[0] == "backbone":
        return f"wiring: the architecture of backbone {name}"
    return "wiring: what the parts after it require of the levels that there are"


def _source(step: Step, steps: tuple[str, ...], *, changed: bool) -> str | None:
    """What of a step set the value, or None where nothing of it did."""
    texts = [text for text, path in step.edits if path[: len(steps)] == steps or steps[: len(path)] == path]
    says = lookup(step.said, steps) is not ABSENT
    shown = " ".join(texts) or step.source
    if says:
        return shown
    for file in step.files:
        if file.kind in steps:
            last = len(steps) - 1 - steps[::-1].index(file.kind)
            rest = tuple(one for one in steps[last + 1 :] if not one.isdecimal())
            if rest and lookup(file.content, rest) is not ABSENT and (texts or changed):
                return file.file if step.source == file.file else f"{file.file} by {shown}"
    if not changed:
        return None
    return shown if texts or not step.edits else f"{step.source} (follows from it)"


def _filled_in(recipe: Mapping[str, Any], key: str, value: Any, *, was_given: bool) -> Link:
    """The link of a value that no file and no override set as it is."""
    parent, _, last = key.rpartition(".")
    if last == "num_classes":
        owner = parent.rpartition(".")[0]
        where = f"{owner}.labels" if owner and lookup(recipe, (*owner.split("."), "labels")) is not ABSENT else "labels"
        return Link(value, "inference", f"the number of names in {where}")
    if key == "backbone.source":
        return Link(value, "inference", "follows from backbone.name")
    if was_given:
        return Link(value, "inference", "the same value in its flat form")
    if key.split(".")[0] in _OF_A_RECIPE or not parent:
        return Link(value, "default", "default of every recipe")
    return Link(value, "inference", "follows from the other values")
