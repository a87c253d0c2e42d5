"""`compose_recipe`: from a name, a file, a mapping or a recipe, and overrides, to a checked Recipe. No torch."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.backbone_options import inferred_source
from backbonekit.recipe.config_roots import (
    GROUP,
    ConfigRoot,
    config_names,
    find,
    is_file,
    is_folder,
    roots_for,
    segments_of,
    shipped_root,
)
from backbonekit.recipe.defaults_list import Layer, compose_layers
from backbonekit.recipe.forbidden import interpolations
from backbonekit.recipe.guard import plain_mapping, read_yaml_file
from backbonekit.recipe.interpolate import interpolated
from backbonekit.recipe.layering import Expand, Layering
from backbonekit.recipe.overrides import apply_edits, parse_overrides
from backbonekit.recipe.part_options import part_of_your_own
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.schema_versions import in_current_schema
from backbonekit.recipe.trace import Trace
from backbonekit.recipe.validate import validated
from backbonekit.registry.lookup import is_known, names

SUFFIXES = (".yaml", ".yml")
_NOTHING = ("", "none", "nothing", "false", "~")  # what people write for a part that is left out


def compose_recipe(
    model: str | Path | Mapping[str, Any] | Recipe,
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    trace: Trace | None = None,
) -> Recipe:
    """A recipe from the name of one that ships or lies in `config_dir`, a YAML file, a mapping or a Recipe.

    `overrides` are those of the command line: `["backbone=swin_tiny", "head.num_classes=7"]`. `config_dir` wins over
    what ships. `Recipe.notes` lists what swapping a part dropped. `trace` is told which file and override set what.
    Raises RecipeError with every fault, before torch is imported.
    """
    layering, faults = start_recipe(model, roots_for(config_dir), trace)
    edits, unread = parse_overrides(overrides)
    faults += unread + apply_edits(layering, edits, trace)
    data = layering.model
    if not isinstance(model, Mapping | Recipe):
        data, unresolved = interpolated(data)
        faults += unresolved
        if trace is not None and data != layering.model:
            trace.laid("reference", "the value that it refers to", {}, data)
    return validated(data, faults=faults, notes=tuple(layering.notes))


def start_recipe(
    model: str | Path | Mapping[str, Any] | Recipe, roots: tuple[ConfigRoot, ...], trace: Trace | None = None
) -> tuple[Layering, list[str]]:
    """The recipe that a name, a file, a mapping or a Recipe is, before any override, and the faults found on the way.
    Raises RecipeError where there is nothing to start from."""
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(SUFFIXES)):
        name, roots = located(Path(model), roots, GROUP)
        return _composed(name, roots, trace), []
    if isinstance(model, str):
        if "/" in model and is_folder(model):
            raise RecipeError(
                f"{shown(model)} is a folder; a saved one is opened by load_model (recipe= on a command line)."
            )
        segments_of(model)
        return _composed(model, roots, trace), []
    return _of_mapping(model, roots, trace)


def flat_form(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe that was written by hand, in which parts may stand by their names alone (`backbone: swin_tiny`), with
    every part spelt out as the strict reader takes it. Names are those of what ships. Raises RecipeError."""
    layering, faults = _of_mapping(mapping, roots_for(None))
    if faults:
        raise RecipeError(faults)
    return layering.model


def model_names(config_dir: str | Path | None = None) -> list[str]:
    """Every recipe that `model=` can name."""
    return config_names(roots_for(config_dir), GROUP)


def part_names(kind: str, config_dir: str | Path | None = None) -> list[str]:
    """Every name that `backbone=`, `neck=` or `head=` can be given: files, and for necks and heads the registry's."""
    files = config_names(roots_for(config_dir), f"{GROUP}/{kind}")
    return sorted({*files, *(() if kind == "backbone" else names(kind))})


def located(path: Path, roots: tuple[ConfigRoot, ...], group: str) -> tuple[str, tuple[ConfigRoot, ...]]:
    """A file is the member of the group of its name in its own folder, which comes before the others."""
    if not path.suffix:
        raise RecipeError(
            f"{str(path)!r} is no YAML file; a saved folder is opened by load_model (recipe= on a command line)."
        )
    if not is_file(path):
        raise RecipeError(f"there is no file {shown(str(path))}.")
    segments_of(path.stem)
    if path.parent.resolve().name == group:
        return path.stem, (ConfigRoot(path.parent.parent), *roots)
    return path.stem, (ConfigRoot(path.parent, group=group), *roots)


def _of_mapping(model: Any, roots: tuple[ConfigRoot, ...], trace: Trace | None = None) -> tuple[Layering, list[str]]:
    layering = Layering({}, expander(roots, trace))
    if isinstance(model, Recipe):
        layering.model = model.to_dict()
        layering.notes.extend(model.notes)
        if trace is not None:
            trace.laid("recipe", trace.origin, layering.model, layering.model)
        return layering, []
    data = plain_mapping(model)
    faults = interpolations(data)
    if "defaults" in data:
        # What else seems to be missing may come from the files that it lists.
        raise RecipeError(
            "defaults: only YAML files have defaults, and this is read as a recipe of its own. The fix: model=FILE.yaml"
            " (or build_model with the path) composes a file with its defaults."
        )
    try:
        layering.lay(in_current_schema(data))
    except RecipeError as error:
        faults.extend(error.faults)
    if trace is not None and data:
        trace.laid("recipe", trace.origin, data, layering.model)
    return layering, faults


def _composed(name: str, roots: tuple[ConfigRoot, ...], trace: Trace | None = None) -> Layering:
    layering = Layering({}, expander(roots, trace))
    for layer in compose_layers(name, roots):
        content = nested_content(layer, layering)
        layering.lay(content)
        if trace is not None:
            trace.laid("file", _shown_file(layer.origin, roots), content, layering.model)
    return layering


def _shown_file(config_path: str, roots: tuple[ConfigRoot, ...]) -> str:
    """Where a file of a recipe lies, for people: a shipped one by its path among those that ship."""
    file = find(roots, config_path)
    assert file is not None
    if file.is_relative_to(shipped_root().folder):
        return f"{file.relative_to(shipped_root().folder).as_posix()} (shipped)"
    return str(file)


def nested_content(layer: Layer, layering: Layering) -> dict[str, Any]:
    """A layer's content at its position in the recipe, without its keys for parts that are no longer there."""
    content: Any = in_current_schema(layer.content)
    for step in reversed(layer.package.split(".") if layer.package else []):
        content = {step: content}
    for part in layer.stale:
        given = content.get(part)
        if isinstance(given, dict) and given:
            kept = {key: value for key, value in given.items() if part == "head" and key == "num_classes"}
            dropped = [f"{key}={shown(value)}" for key, value in given.items() if key not in kept]
            content[part] = kept
            if not kept:
                del content[part]
            if dropped:
                layering.notes.append(f"{part}: {layer.origin} sets {', '.join(dropped)} of a part that was replaced.")
    return content


def expander(roots: tuple[ConfigRoot, ...], trace: Trace | None = None) -> Expand:
    """Names of parts as `backbone=`, `neck=`, `head=` take them. A name's file is read once."""
    expanded: dict[tuple[str, str], dict[str, Any]] = {}

    def expand(kind: str, name: str) -> dict[str, Any]:
        if (kind, name) not in expanded:
            expanded[kind, name] = read(kind, name)
        config_path = f"{GROUP}/{kind}/{name}"
        if trace is not None and _is_file_name(name) and find(roots, config_path) is not None:
            trace.read(kind, _shown_file(config_path, roots), expanded[kind, name])
        return deepcopy(expanded[kind, name])

    def read(kind: str, name: str) -> dict[str, Any]:
        group = f"{GROUP}/{kind}"
        file = find(roots, f"{group}/{name}") if _is_file_name(name) else None
        if file is not None:
            return _part_file(kind, file, roots)
        if kind == "backbone":
            return _backbone_named(name, roots)
        if is_known(kind, name):
            return {"name": name}
        known = {*names(kind), *config_names(roots, group)}
        hint = f"{nearest(name, known)} {part_of_your_own(kind)}"
        if name.lower() in _NOTHING:
            hint = f"a recipe without one is written {kind}=null."
        raise RecipeError(f"{kind}={shown(name, quotes=False)}: there is no {kind} of that name; {hint}")

    return expand


def _part_file(kind: str, file: Path, roots: tuple[ConfigRoot, ...]) -> dict[str, Any]:
    content = read_yaml_file(file)
    if "defaults" not in content:
        return content
    layering = Layering({}, expander(roots))
    for layer in compose_layers(file.stem, roots, group=f"{GROUP}/{kind}"):
        layering.lay(nested_content(layer, layering))
    return layering.model.get(kind) or {}


def _backbone_named(name: str, roots: tuple[ConfigRoot, ...]) -> dict[str, Any]:
    """timm/NAME, SOURCE/NAME, a Hub id or a folder."""
    if is_folder(name):
        return {"source": "hf", "name": name}
    prefix, slash, rest = name.partition("/")
    if slash and (prefix == "timm" or (is_known("backbone", prefix) and (prefix != "hf" or "/" in rest))):
        return {"source": prefix, "name": rest}
    if slash:
        return {"source": inferred_source(name, None), "name": name}
    if name.lower() in _NOTHING:
        raise RecipeError(f"backbone={shown(name, quotes=False)}: every recipe has a backbone.")
    known = config_names(roots, f"{GROUP}/backbone")
    raise RecipeError(
        f"backbone={shown(name, quotes=False)}: no backbone of that name ships, and there is no such folder; "
        f"{nearest(name, known)} timm's architectures are backbone=timm/NAME, those of the Hub backbone=OWNER/NAME."
    )


def _is_file_name(name: str) -> bool:
    try:
        segments_of(name)
    except RecipeError:
        return False
    return True
