"""The arguments of `build` and `predict`: split into flags, literal arguments and Hydra overrides."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from backbonekit.cli.messages import QUIET
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.compose import model_names

# Read literally, not in Hydra's grammar: paths may hold any character. Each verb lists those that it takes.
LITERALS: Mapping[str, str] = {
    "recipe": "a saved folder, a YAML file or a Hub repository to start from, in place of model=",
    "weights": "a saved folder, a Hub repository or a .safetensors file that fills the whole model",
    "experiment": "a shipped experiment, one of --config-dir, or a YAML file",
    "resume": "the folder of a run to go on with",
    "image": "an image (or, for predict and features, a folder of images)",
    "output": "where to write: a drawing (a folder for several images), the file of features, the exported file, plots",
    "results": "where to write the predictions as COCO-style JSON (for evaluate the scores)",
    "save": "the folder to write the recipe and its weights to",
    "report": "where to write a page with the model's wiring, weights, time, samples and scores, as FILE.html",
    "diagram": "where to draw the wiring, as FILE.svg, FILE.png or FILE.mmd (Mermaid)",
    "overwrite": "true: save= may replace the model in its folder, features the output file (default: false)",
    "locked": "true: refuse recipe= where the model would be another than the one that was saved (default: false)",
    "device": "cpu, cuda, cuda:1, mps (default: cpu)",
    "format": "table or json, of bench also csv; json: standard output holds nothing else (default: table)",
    "seed": "the seed of random weights and of the sample input (default: 0)",
    "size": "height,width of the exported input in pixels (default: the recipe's)",
    "free_size": "true: accept any height and width, where the architecture allows it (default: false)",
    "padded": "true: a second input, a mask, for batches of images of different sizes (default: false)",
    "decode": "true: return results (boxes, segmentations, scores) in place of logits (default: false)",
    "task": "semantic, instance or panoptic, for models that can predict several",
    "tile": "the side of the squares that large images are predicted in, in pixels",
    "overlap": "how many pixels two squares of tile= share (default: an eighth of it)",
    "augment": "views to average dense predictions over: flip, scales, as [flip,0.75,1.25]",
    "threshold": "the lowest score to show, from 0 to 1",
    "bands": "the channels that a drawing shows as red, green and blue, from 0: bands=3,2,1",
    "basis": "level: the colours of each map by themselves; shared: one basis of all of them (default: level)",
    "attention": "what attends, drawn in place of the maps: class, query, query:N, or x,y in pixels of the image",
    "num_names": "how many things or regions a drawing names at most, the best first (default: 20)",
    "legend": "true: a panel beside the drawing with each class, its colours and its amount (default: false)",
    "pool": "cls, mean, max, gem, or none for whole maps (default: mean)",
    "dtype": "float32, float16 or bfloat16 (default: float32); bench takes several",
    "batch_size": "how many images run together; bench takes several, as 1,8",
    "compile": "whether torch.compile is used: false, true or both (default: false)",
    "repeats": "how many forward passes are timed (default: 10)",
    "accuracy": "a CSV file with the columns name and accuracy, which the table and the plot show",
    "plot": "where to draw the rows, speed against accuracy, as FILE.png",
    "workers": "threads that read and prepare images beside the model (default: one a processor, at most 8)",
    "engine": "local or ray: the machines of a Ray cluster (default: local)",
    "split": "train, val or test: the part of the data that is measured (default: val)",
    "card": "true: write the scores into the model card in the folder of recipe= (default: false)",
    "revision": "a branch, tag or commit of the Hub repository of recipe=, or else of weights=",
}
# What other verbs call it -> where an experiment has it.
_SETTINGS = {
    "batch_size": "optimisation.batch_size",
    "workers": "trainer.num_workers",
    "seed": "trainer.seed",
    "device": "trainer.accelerator",
}
_PARTS = ("model", "backbone", "neck", "head")
_FLAGS_WITH_VALUE = {"--config-dir": "config_dir", "-cd": "config_dir", "--cfg": "cfg", "-c": "cfg"}
_FLAGS_ALONE = {"-m": "multirun", "--multirun": "multirun", "-h": "help", "--help": "help"}


@dataclass(slots=True)
class Arguments:
    """A command line, split. `overrides` keep their order; `literals` hold only what was given. `names`: of verbs that
    take words without an equals sign, these."""

    names: list[str] = field(default_factory=list)
    model: str | None = None
    literals: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    config_dir: str | None = None
    cfg: str | None = None
    imports: list[str] = field(default_factory=list)
    multirun: bool = False
    help: bool = False


def help_text(usage: str, literals: Sequence[str], flags: str) -> str:
    """The help of a verb: its usage with examples, its arguments, its flags."""
    arguments = [f"  {name + '=':<18}{LITERALS[name]}" for name in literals]
    lines = [usage.strip("\n"), *arguments, "", flags.strip("\n")]
    return "\n".join(lines) + "\n"


def parse_arguments(words: Sequence[str], literals: Sequence[str], *, takes_names: bool = False) -> Arguments:
    """Splits `words` (without the program's name); `literals` are the names of LITERALS that the verb knows.
    `takes_names`: words without an equals sign are no mistake.

    Raises RecipeError with every fault found.
    """
    arguments = Arguments()
    faults: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word.startswith("-"):
            faults.extend(_take_flag(arguments, word, queue))
        elif takes_names and "=" not in word and not word.startswith("~"):
            arguments.names.append(word)
        else:
            faults.extend(_take_pair(arguments, word, literals))
    if arguments.cfg not in (None, "job"):
        faults.append(f"--cfg {arguments.cfg}: only `--cfg job` exists; it prints the composed recipe and stops.")
    if arguments.model is not None and "recipe" in arguments.literals:
        faults.append("model= and recipe= both name the model to start from; give one of them.")
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
            return [f"{flag} needs a value."]
        value = value if equals else queue.pop(0)
        if flag == "--import":
            arguments.imports.append(value)
        else:
            setattr(arguments, _FLAGS_WITH_VALUE[flag], value)
        return []
    key = flag.lstrip("-").replace("-", "_")
    if key in (*_PARTS, *LITERALS):
        # Its value, written as a word of its own, is part of the same mistake.
        given = value if equals else queue.pop(0) if queue and "=" not in queue[0] else "..."
        return [f"unknown flag {word!r}; did you mean {f'{key}={given}'!r}?"]
    return [f"unknown flag {word!r}; {nearest(flag, [*_FLAGS_ALONE, *_FLAGS_WITH_VALUE, *QUIET, '--import'])}"]


def _take_pair(arguments: Arguments, word: str, literals: Sequence[str]) -> list[str]:
    key, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        return [f"{word!r} is not of the form key=value.{_pair_hint(word, arguments.config_dir)}"]
    if key in literals:
        if key in arguments.literals:
            return [f"{key}= is given twice."]
        arguments.literals[key] = value
    elif key in LITERALS and key != "recipe":
        if "experiment" in literals and key in _SETTINGS:
            return [f"{key}= is no argument of this command; did you mean {_SETTINGS[key] + '='!r}?"]
        return [f"{key}= is no argument of this command; it takes {', '.join(f'{name}=' for name in literals)}."]
    elif key == "model" and not arguments.multirun and "," not in value:
        if arguments.model is not None:
            return ["model= is given twice."]
        arguments.model = value
    else:
        arguments.overrides.append(word)
    return []


def _pair_hint(word: str, config_dir: str | None) -> str:
    """What was probably meant by a word without an equals sign."""
    if word.endswith("]"):
        return " A list with spaces must be quoted: 'backbone.out_indices=[1, 2]'."
    if word == "help":
        return " The help is --help."
    key, colon, value = word.partition(":")
    if colon and key in (*_PARTS, *LITERALS):
        return f" Did you mean {f'{key}={value}'!r}?"
    if word in _PARTS or word in LITERALS:
        return f" There are no spaces around the equals sign: {word}=...."
    if word in model_names(config_dir):
        return f" Did you mean 'model={word}'?"
    return ""


def import_parts(modules: Iterable[str]) -> None:
    """Imports modules that register parts. Only the command line can name them, never a recipe."""
    for module in modules:
        # The current folder counts, as it does for `python -m`.
        sys.path.insert(0, str(Path.cwd()))
        try:
            import_module(module)
        except ImportError as error:
            raise RecipeError(f"--import {module}: {error}.") from error
        finally:
            sys.path.pop(0)
