"""The verbs, and how an error ends: a message on standard error and exit code 2, never a traceback."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from backbonekit.cli.messages import QUIET, write_error
from backbonekit.contract.progress import quiet
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError, nearest

# verb -> (module with `main(words) -> exit code`, what it does). Imported when called, so that help is instant.
VERBS: dict[str, tuple[str, str]] = {
    "build": ("backbonekit.cli.build", "compose, check and build a model, run it once, print its wiring"),
    "train": ("backbonekit.cli.train", "train a model on a data set, measure it, keep the best"),
    "predict": ("backbonekit.cli.predict", "run a model on an image or a folder of images, draw what it finds"),
    "evaluate": ("backbonekit.cli.evaluate", "measure a model on a data set: scores, plots, the model card"),
    "features": ("backbonekit.cli.features", "write the features of a folder of images: one row an image"),
    "look": ("backbonekit.cli.look", "draw an image beside a backbone's features in colours, or its attention"),
    "export": ("backbonekit.cli.export", "write a model as an ONNX file or a torch program, and compare the two"),
    "bench": ("backbonekit.cli.bench", "measure speed, memory and work of models, one row each"),
    "check": ("backbonekit.cli.check", "count what a data set holds, list what is wrong, draw images with targets"),
    "list": ("backbonekit.cli.list", "list the names that a recipe can use: models, backbones, necks, heads"),
    "cp": ("backbonekit.cli.cp", "write a recipe out flat and commented, to be edited"),
    "diff": ("backbonekit.cli.diff", "compare two recipes: keys, wiring, parameters, multiply-adds"),
    "explain": ("backbonekit.cli.explain", "say which default, file, override or inference set a value of a recipe"),
    "new": ("backbonekit.cli.new", "write a repository for models and experiments of your own"),
    "schema": ("backbonekit.cli.schema", "print the JSON Schema of recipes or experiments, for editors"),
    "completion": ("backbonekit.cli.completion", "print the script by which bash, zsh or fish completes what is typed"),
    "convert": ("backbonekit.cli.convert", "rewrite a pickled checkpoint that you trust as safetensors"),
    "inspect": ("backbonekit.cli.inspect", "show the recipe and the weights of a saved model without building it"),
}
# What people type for something that has another name here, or that is done in Python.
INSTEAD: dict[str, str] = {
    **dict.fromkeys(("fit", "finetune", "fine-tune", "learn"), "use `train`."),
    "resume": "use `train resume=FOLDER`.",
    **dict.fromkeys(("test", "eval", "val", "validate", "score", "metrics"), "use `evaluate`."),
    **dict.fromkeys(("onnx", "deploy"), "use `export`."),
    **dict.fromkeys(("save", "download", "pull"), "use `build ... save=FOLDER`."),
    **dict.fromkeys(("push", "upload"), "use `model.push_to_hub(...)` in Python; docs/sharing.md has the lines."),
    **dict.fromkeys(("draw", "infer", "inference", "run", "detect", "segment", "classify", "demo"), "use `predict`."),
    **dict.fromkeys(("embed", "embeddings", "extract"), "use `features`."),
    **dict.fromkeys(("copy", "fork"), "use `cp`."),
    **dict.fromkeys(("compare", "difference"), "use `diff`."),
    **dict.fromkeys(("see", "visualize", "visualise", "attention"), "use `look`."),
    **dict.fromkeys(("benchmark", "profile", "speed", "time"), "use `bench`."),
    **dict.fromkeys(("verify", "lint", "dataset", "data"), "use `check` for a data set, `build` for a recipe."),
    **dict.fromkeys(("models", "backbones", "necks", "heads", "search", "find"), "use `list`, such as `list models`."),
    "version": "use `backbonekit --version`.",
    **dict.fromkeys(("why", "trace"), "use `explain`."),
    **dict.fromkeys(("show", "info"), "use `inspect`, or `build` to see the shapes too."),
}
# The verb that a line is for which starts with this key.
_VERB_OF = {
    **dict.fromkeys(("image", "task", "tile", "threshold"), "predict"),
    **dict.fromkeys(("experiment", "resume", "trainer", "optimisation"), "train"),
    **dict.fromkeys(("data",), "check"),
    **dict.fromkeys(("pool",), "features"),
}
USAGE = """usage: backbonekit VERB [key=value ...]

{verbs}

examples:
  backbonekit build model=maskformer_resnet50 backbone=timm/convnext_tiny save=runs/m1
  backbonekit train experiment=digits_detection save=runs/d
  backbonekit predict recipe=runs/m1 image=image.jpg output=drawn.png
  backbonekit evaluate recipe=runs/m1 data=coco data.root=photos data.val=val.json
  backbonekit features backbone=facebook/dinov2-small image=photos pool=cls output=features.parquet
  backbonekit look backbone=dinov2_small image=cat.jpg output=look.png
  backbonekit export recipe=runs/m1 output=model.onnx
  backbonekit bench -m model=fcn_resnet50 backbone=resnet18,resnet50 batch_size=1,8
  backbonekit check data=coco data.root=photos data.train=train.json output=sheet.png
  backbonekit list backbones
  backbonekit cp maskformer_resnet50 mine.yaml
  backbonekit diff maskformer_resnet50 backbone=swin_tiny
  backbonekit explain head.num_queries model=maskformer_resnet50
  backbonekit new birds
  backbonekit schema all output=schema
  backbonekit completion bash > ~/.local/share/bash-completion/completions/backbonekit
  backbonekit convert pytorch_model.bin converted
  backbonekit inspect runs/m1

`backbonekit VERB --help` explains one verb with examples, `backbonekit --version` prints the version. Of every verb:
  -q, --quiet    no notes and no progress: results and errors alone
  format=json    results as JSON on standard output, with nothing beside them
Colours and bars are for terminals; NO_COLOR=1 turns colours off.

exit codes:
  0    done
  1    partly done: an image could not be read, or a combination of -m was refused; of check: something is wrong
  2    refused: the message on standard error says what to change
  130  interrupted with Ctrl-C
"""


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Runs one verb and returns its exit code (see USAGE)."""
    if "--version" in words:
        return _print_version()
    rest = [word for word in words if word not in QUIET]
    with quiet(len(rest) < len(words)):
        return guarded(lambda: import_module(VERBS[verb][0]).main(rest))


def guarded(action: Callable[[], int]) -> int:
    """Runs `action`. The four errors that a user can mend are printed as messages."""
    try:
        return action()
    except (RecipeError, ContractError, WeightsError, StorageError) as error:
        write_error(str(error))
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: nothing is wrong.
        sys.stderr.close()
        return 0
    except OSError as error:  # a path that may not be used, in a plugin for one
        where = f"{error.filename}: " if error.filename else ""
        write_error(f"{where}{error.strerror or error}.")
        return 2


def main(words: Sequence[str] | None = None) -> int:
    """`backbonekit VERB ...`"""
    words = list(sys.argv[1:] if words is None else words)
    # Before the verb, -q and help mean what they mean behind it.
    before = [word for word in words[:1] if word in QUIET]
    words = [*words[len(before) :], *before]
    if words[:1] == ["help"] and words[1:2] and words[1] in VERBS:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help", *QUIET):
        width = max(map(len, VERBS)) + 2
        print(USAGE.format(verbs="\n".join(f"  {verb:<{width}}{what}" for verb, (_, what) in VERBS.items())), end="")
        return 0
    if words[0] == "--version":
        return _print_version()
    if words[0] not in VERBS:
        write_error(f"no verb {words[0]!r}; {_hint(words[0])}")
        return 2
    return run_verb(words[0], words[1:])


def _hint(word: str) -> str:
    """What to type in place of a verb that does not exist."""
    key = word.partition("=")[0].partition(".")[0]
    if "=" in word and not word.startswith("-"):
        return f"the verb comes first: backbonekit {_VERB_OF.get(key, 'build')} {word}."
    if word.startswith("-"):
        return "the verb comes first: backbonekit VERB [key=value ...]."
    if word.lower() in INSTEAD:
        return INSTEAD[word.lower()]
    if Path(word).is_file() and Path(word).suffix.lower() not in (".yaml", ".yml", ".py"):
        return f"use `predict ... image={word}`."
    if Path(word).exists() or word.count("/") == 1:
        return f"use `inspect {word}`, or `build recipe={word}`."
    near = nearest(word, VERBS)
    return near if near.startswith("did you mean") else f"{near} `backbonekit --help` explains each."


def _print_version() -> int:
    from backbonekit.version import VERSION

    print(f"backbonekit {VERSION}")
    return 0
