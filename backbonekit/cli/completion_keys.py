"""The keys of a recipe or an experiment, and their values, as a shell offers them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from backbonekit.cli.completion_words import Candidate, paths
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.config_roots import EXPERIMENT, GROUP, SECTIONS, ConfigRoot, config_names, roots_for
from backbonekit.recipe.experiment_compose import compose_experiment
from backbonekit.recipe.experiment_sections import section_fields
from backbonekit.recipe.validate import KEYS, read_recipe_file
from backbonekit.registry.lookup import names
from backbonekit.registry.table import Options, options, processing_fields

_PARTS = ("backbone", "neck", "head")
_OF_SECTIONS = ("optimisation", "trainer")
_KINDS = {"neck": "neck", "head": "head", "criterion": "criterion", "data": "data"}


def keys(current: str, before: Sequence[str], *, with_sections: bool) -> list[Candidate]:
    """The keys that a word may become: `head=`, `head.num_queries=`; one with more below it ends in a dot."""
    above, dot, _ = current.rpartition(".")
    if not dot:
        first = (GROUP, *KEYS, *(SECTIONS if with_sections else ()))
        written = [key for key in first if key != "schema_version"]
        return [*((f"{key}=", "") for key in written), *((f"{key}.", "") for key in written if key != GROUP)]
    mapping, table = _below(above.removeprefix(f"{GROUP}.").split("."), before)
    found = []
    for key in dict.fromkeys([*mapping, *table]):
        about = table.get(key, {}).get("doc", "")
        found.append((f"{above}.{key}{'.' if isinstance(mapping.get(key), Mapping) else '='}", about))
    return found


def values(key: str, value: str, before: Sequence[str]) -> list[Candidate]:
    """The values that `key=value` may become; of several with commas, the last."""
    done, comma, _ = value.rpartition(",")
    given = [word for word in before if word.partition("=")[0] != key]
    found = _values(key.removeprefix(f"{GROUP}.").replace("/", "."), value.rpartition(",")[2], given)
    return [(f"{key}={done}{comma}{each}", about) for each, about in found]


def _values(key: str, value: str, before: Sequence[str]) -> Iterable[Candidate]:
    roots = roots_for(_config_dir(before))
    if key in (GROUP, EXPERIMENT):
        return [*_named(roots, key), *_yaml_files(value)]
    if key.rpartition(".")[2] in _PARTS:
        kind = key.rpartition(".")[2]
        others = [(name, "") for name in (names(kind) if kind != "backbone" else ())]
        more = [("timm/", "any architecture of timm"), *paths(value)] if kind == "backbone" else []
        return [*dict([*others, *_named(roots, f"{GROUP}/{kind}")]).items(), *more]
    if key.rpartition(".")[2] == "criterion":
        return [(name, "") for name in names("criterion")]
    if key == "data":
        return [(name, "") for name in dict.fromkeys([*names("data"), *config_names(roots, "data")])]
    if key == "augmentation":
        return [("paper", "what the paper of the model trains with")]
    if key == "backbone.source":
        return [(name, "") for name in names("backbone")]
    if key.startswith("data.") or key == "backbone.pretrained":
        return [*_of_schema(key, before), *paths(value)]
    return _of_schema(key, before)


def _of_schema(key: str, before: Sequence[str]) -> list[Candidate]:
    if key == "adapt":
        return [("auto", ""), ("never", "")]
    *above, last = key.split(".")
    mapping, table = _below(above, before) if above else ({}, {})
    schema = table.get(last, {}).get("schema", {})
    choices: list[Any] = []
    for each in schema.get("anyOf", [schema]):
        choices += each.get("enum", ())
        choices += ["true", "false"] if each.get("type") == "boolean" else ()
        choices += ["null"] if each.get("type") == "null" else ()
    if not schema and isinstance(mapping.get(last), bool):
        choices = ["true", "false"]
    return [(str(choice), "") for choice in choices]


def _below(path: Sequence[str], before: Sequence[str]) -> tuple[Mapping[str, Any], Options]:
    """What stands below a key in the recipe or experiment so far, and the options that belong there."""
    content: Any = _composed(before)
    for step in path:
        if isinstance(content, list) and step.isdecimal() and int(step) < len(content):
            content = content[int(step)]
        else:
            content = content.get(step) if isinstance(content, Mapping) else None
    mapping = content if isinstance(content, Mapping) else {}
    table: Options = {}
    kind = next((_KINDS[step] for step in reversed(path) if step in _KINDS), None)
    if path and path[0] in _OF_SECTIONS and len(path) == 1:
        table = section_fields(path[0])
    elif path and path[-1] == "processing":
        table = processing_fields()
    elif kind is not None and isinstance(mapping.get("name"), str) and (path[-1] in _KINDS or path[-1].isdecimal()):
        table = options(kind, mapping["name"]) or {}
    return {key: value for key, value in mapping.items() if key != "name" or kind is None}, table


def _composed(before: Sequence[str]) -> Mapping[str, Any]:
    """The recipe, and the sections if there are any, of the words so far; without those that do not compose."""
    given = dict(word.split("=", 1) for word in before if "=" in word and not word.startswith("-"))
    config_dir = _config_dir(before)
    overrides = [f"{key}={value}" for key, value in given.items() if key.partition(".")[0] in (*KEYS, *SECTIONS)]
    swaps = [word for word in overrides if "." not in word.partition("=")[0]]
    for tried in (overrides, swaps, []):
        try:
            return _compose(given, tried, config_dir)
        except RecipeError:
            continue
    # Parts alone, which are no recipe yet: their options.
    return {key: {"name": value} for key, value in given.items() if key in ("neck", "head", "data")}


def _compose(given: Mapping[str, str], overrides: Sequence[str], config_dir: str | None) -> Mapping[str, Any]:
    of_recipe = [word for word in overrides if word.partition("=")[0].partition(".")[0] in KEYS]
    if EXPERIMENT in given or len(of_recipe) < len(overrides):
        experiment = compose_experiment(
            given.get(EXPERIMENT), overrides, model=given.get(GROUP), config_dir=config_dir
        ).to_dict()
        return {**experiment[GROUP], **{section: experiment[section] for section in SECTIONS}}
    if "recipe" in given:
        path = Path(given["recipe"]).expanduser()
        return compose_recipe(read_recipe_file(path / "recipe.yaml" if path.is_dir() else path), of_recipe).to_dict()
    return compose_recipe(given.get(GROUP, {}), of_recipe, config_dir=config_dir).to_dict()


def _config_dir(before: Sequence[str]) -> str | None:
    for flag, value in pairwise(before):
        if flag in ("--config-dir", "-cd"):
            return value
    return next((word.partition("=")[2] for word in before if word.startswith("--config-dir=")), None)


def _named(roots: Sequence[ConfigRoot], group: str) -> list[Candidate]:
    return [(name, "") for name in config_names(roots, group)]


def _yaml_files(value: str) -> list[Candidate]:
    return [(path, "") for path, _ in paths(value) if path.endswith(("/", ".yaml", ".yml"))]
