"""What a shell offers for the word that is being typed. No torch; nothing is built or downloaded."""

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import shorten

from backbonekit.cli.arguments import LITERALS
from backbonekit.cli.values import SWITCHES
from backbonekit.cli.verbs import VERBS
from backbonekit.errors import RecipeError, StorageError, WeightsError
from backbonekit.recipe.config_roots import EXPERIMENT

_ABOUT = 80  # characters of what a candidate is
Candidate = tuple[str, str]  # the whole word, what it is
_FLAGS = {
    "--help": "explain the verb",
    "--config-dir": "a folder with recipes of your own",
    "--import": "a module that registers parts of your own",
    "--cfg": "job: print the composed recipe and stop",
    "--multirun": "every combination of values with commas",
    "--quiet": "no notes and no progress",
}
_BOOLEANS = ("true", "false")
# Arguments that are read literally: those that take a number or a text, and those that take one of a few words; all
# others take a path.
_FREE = (
    *("seed", "size", "tile", "overlap", "threshold", "bands", "num_names"),
    *("batch_size", "repeats", "workers", "revision"),
)
_VALUES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SWITCHES, _BOOLEANS),
    "device": ("cpu", "cuda", "mps", "xpu"),
    "format": ("table", "json", "csv"),
    "task": ("semantic", "instance", "panoptic"),
    "augment": ("flip",),
    "pool": ("cls", "mean", "max", "gem", "none"),
    "dtype": ("float32", "float16", "bfloat16"),
    "compile": ("true", "false", "both"),
    "engine": ("local", "ray"),
    "split": ("train", "val", "test"),
    "locked": _BOOLEANS,
    "sort": ("name", "params"),
    "basis": ("level", "shared"),
    "attention": ("class", "query"),
}


def candidates(words: Sequence[str]) -> list[Candidate]:
    """What the last of the words may become. Whatever is wrong with the others is left to the verb to say."""
    *before, current = words or [""]
    try:
        found = list(_candidates(before, current))
    except (RecipeError, StorageError, WeightsError, OSError):
        found = []
    return [(word, shorten(about, _ABOUT, placeholder=" ...")) for word, about in found if word.startswith(current)]


def _candidates(before: Sequence[str], current: str) -> Iterable[Candidate]:
    if not before:
        return [*((verb, about) for verb, (_, about) in VERBS.items()), ("--help", ""), ("--version", "")]
    verb = before[0]
    if verb not in VERBS:
        return []
    if before[-1] == "--config-dir":
        return paths(current, folders_only=True)
    if before[-1] in ("--cfg", "-c"):
        return [("job", _FLAGS["--cfg"])]
    if current.startswith("-"):
        return list(_FLAGS.items())
    key, equals, value = current.partition("=")
    if equals and key in LITERALS and key != EXPERIMENT:
        found = [(each, "") for each in _VALUES[key]] if key in _VALUES else [] if key in _FREE else paths(value)
        return [(f"{key}={each}", about) for each, about in found]
    if verb in _PLAIN and not equals:
        return _PLAIN[verb](current)
    from backbonekit.cli.completion_keys import keys, values

    literals = _literals(verb)
    if equals:
        return values(key, value, before[1:])
    given = {word.partition("=")[0] for word in before[1:]}
    own = [(f"{name}=", about) for name, about in literals.items() if name not in given]
    return [*own, *(keys(current, before[1:], with_sections=_has_sections(verb)) if literals else paths(current))]


def _literals(verb: str) -> dict[str, str]:
    """The arguments that a verb reads literally, with what they are."""
    return {name: LITERALS[name] for name in vars(import_module(VERBS[verb][0])).get("KNOWN", ())}


def _has_sections(verb: str) -> bool:
    return verb in ("train", "evaluate", "check")


def paths(typed: str, *, folders_only: bool = False) -> list[Candidate]:
    """The files and folders that a path may become; a folder ends in a slash."""
    head, slash, start = typed.rpartition("/")
    folder = Path(f"{head}/" if slash else ".").expanduser()
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        is_folder = entry.is_dir()
        if (is_folder or not folders_only) and (start.startswith(".") or not entry.name.startswith(".")):
            found.append((f"{head}{slash}{entry.name}{'/' if is_folder else ''}", ""))
    return found


def _kinds(current: str) -> list[Candidate]:
    from backbonekit.cli.list import KINDS

    return [(kind, "") for kind in KINDS]


def _models_and_paths(current: str) -> list[Candidate]:
    from backbonekit.recipe.compose import model_names

    return [*((name, "") for name in model_names()), *paths(current)]


def _files(current: str) -> list[Candidate]:
    from backbonekit.cli.schema import ALL
    from backbonekit.recipe.json_schema import FILES

    return [*((kind, "") for kind in (*FILES, ALL)), ("output=", "where to write it")]


def _shells(current: str) -> list[Candidate]:
    from backbonekit.cli.completion import SCRIPTS

    return [(shell, "") for shell in SCRIPTS]


# The verbs that take plain words.
_PLAIN: dict[str, Callable[[str], list[Candidate]]] = {
    "list": _kinds,
    "schema": _files,
    "completion": _shells,
    "diff": _models_and_paths,
    "cp": _models_and_paths,
    "convert": paths,
    "inspect": paths,
}
