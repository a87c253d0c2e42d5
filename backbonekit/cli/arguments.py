"""Splits a command line: flags, arguments that are taken word for word, and Hydra overrides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backbonekit.errors import RecipeError, nearest

# Taken literally: a path is no Hydra grammar. Each verb names those that it knows.
LITERALS: Mapping[str, str] = {
    "recipe": "a saved folder, a YAML file or a Hub repository to start from, in place of model=",
    "image": "an image (or, for predict, a folder of images)",
    "output": "where the drawing goes: a file, or a folder for several images",
    "results": "where the predictions go as COCO-style JSON",
    "save": "a folder for the recipe and its weights",
    "device": "cpu, cuda, cuda:1, mps (default: cpu)",
    "format": "table or json (default: table)",
    "seed": "where random weights and noise come from (default: 0)",
    "task": "which answer: semantic, instance or panoptic, for heads that can give several",
    "threshold": "the lowest score that is shown, from 0 to 1",
    "revision": "a branch, tag or commit of the Hub repository",
}
_FLAGS_WITH_VALUE = {"--config-dir": "config_dir", "-cd": "config_dir", "--cfg": "cfg", "-c": "cfg"}
_FLAGS_ALONE = {"-m": "multirun", "--multirun": "multirun", "-h": "help", "--help": "help", "--version": "version"}


@dataclass(slots=True)
class Arguments:
    """A command line, split. `overrides` keep their order; `literals` hold only what was given."""

    model: str | None = None
    literals: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    config_dir: str | None = None
    cfg: str | None = None
    imports: list[str] = field(default_factory=list)
    multirun: bool = False
    help: bool = False
    version: bool = False


def parse_arguments(words: Sequence[str], literals: Sequence[str]) -> Arguments:
    """Splits `words` (without the program's name); `literals` are the names of LITERALS that the verb knows.

    Raises RecipeError with every fault found.
    """
    arguments = Arguments()
    faults: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word.startswith("-"):
            faults.extend(_take_flag(arguments, word, queue))
        else:
            faults.extend(_take_pair(arguments, word, literals))
    if arguments.cfg not in (None, "job"):
        faults.append(f"--cfg {arguments.cfg}: only `--cfg job` is known; it prints the composed recipe and stops.")
    if arguments.model is not None and "recipe" in arguments.literals:
        faults.append("model= and recipe= both name where to start; give one of them.")
    if faults:
        raise RecipeError(faults)
    return arguments


def _take_flag(arguments: Arguments, word: str, queue: list[str]) -> list[str]:
    flag, equals, value = word.partition("=")
    if flag in _FLAGS_ALONE and not equals:
        setattr(arguments, _FLAGS_ALONE[flag], True)
        return []
    if flag in _FLAGS_WITH_VALUE or flag == "--import":
        if not equals and not queue:
            return [f"{flag} wants a value."]
        value = value if equals else queue.pop(0)
        if flag == "--import":
            arguments.imports.append(value)
        else:
            setattr(arguments, _FLAGS_WITH_VALUE[flag], value)
        return []
    return [f"unknown flag {word!r}; {nearest(flag, [*_FLAGS_ALONE, *_FLAGS_WITH_VALUE, '--import'])}"]


def _take_pair(arguments: Arguments, word: str, literals: Sequence[str]) -> list[str]:
    key, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        hint = " A list with spaces must be quoted: 'backbone.out_indices=[1, 2]'." if word.endswith("]") else ""
        return [f"{word!r} is no argument of the form key=value.{hint}"]
    if key in literals:
        if key in arguments.literals:
            return [f"{key}= is given twice."]
        arguments.literals[key] = value
    elif key in LITERALS and key != "recipe":
        return [f"{key}= is not known to this command; it takes {', '.join(f'{name}=' for name in literals)}."]
    elif key == "model" and not arguments.multirun and "," not in value:
        if arguments.model is not None:
            return ["model= is given twice."]
        arguments.model = value
    else:
        arguments.overrides.append(word)
    return []
