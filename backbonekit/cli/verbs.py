"""The verbs, and how a mistake is told: a sentence on standard error and exit code 2, never a traceback."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError, nearest

# verb -> (module with `main(words) -> exit code`, what it does). Imported when called, so that help is instant.
VERBS: dict[str, tuple[str, str]] = {
    "build": ("backbonekit.cli.build", "compose, check and build a model, run it once, print its wiring"),
    "predict": ("backbonekit.cli.predict", "draw what a model answers over an image or a folder of images"),
    "list": ("backbonekit.cli.list", "the names that a recipe can use: models, backbones, necks, heads, criteria"),
    "convert": ("backbonekit.cli.convert", "a pickled checkpoint that you trust, written again as safetensors"),
    "inspect": (
        "backbonekit.cli.inspect",
        "a saved folder or Hub repository: its recipe and its weights, nothing built",
    ),
}


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Runs one verb; returns its exit code (0 done, 1 partly, 2 refused, 130 interrupted)."""
    return guarded(lambda: import_module(VERBS[verb][0]).main(list(words)))


def guarded(action: Callable[[], int]) -> int:
    """Runs `action` and tells the four errors as sentences."""
    try:
        return action()
    except (RecipeError, ContractError, WeightsError, StorageError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: nothing is wrong.
        sys.stderr.close()
        return 0


def printable(text: str) -> str:
    """Text with control characters escaped: a name from a shared recipe must not steer the terminal."""
    return "".join(
        character if character == "\n" or character.isprintable() else repr(character)[1:-1] for character in text
    )


def main(words: Sequence[str] | None = None) -> int:
    """`backbonekit VERB ...`"""
    words = list(sys.argv[1:] if words is None else words)
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: backbonekit VERB key=value ...\n")
        for verb, (_, what) in VERBS.items():
            print(f"  {verb:<9}{what}")
        print("\n`backbonekit VERB --help` tells the rest.")
        return 0
    if words[0] == "--version":
        from backbonekit.version import VERSION

        print(VERSION)
        return 0
    if words[0] not in VERBS:
        print(f"error: no verb {printable(words[0])!r}; {nearest(words[0], VERBS)}", file=sys.stderr)
        return 2
    return run_verb(words[0], words[1:])
