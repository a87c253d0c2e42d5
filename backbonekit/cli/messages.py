"""What is written to standard error: notes, which -q silences, and errors. Colours where a terminal shows them."""

import os
import sys
from typing import TextIO

from backbonekit.cli.text import printable
from backbonekit.contract.progress import is_quiet

QUIET = ("-q", "--quiet")  # of every verb; `cli/verbs.py` takes them before a verb reads its words
_RED, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"


def note(text: str) -> None:
    """What a user should know of a result; above a bar where there is one."""
    if is_quiet():
        return
    from tqdm import tqdm

    tqdm.write(f"{_coloured('note:', _YELLOW, sys.stderr)} {printable(text)}", file=sys.stderr)


def status(text: str) -> None:
    """What has been done so far, of long work."""
    if not is_quiet():
        print(printable(text), file=sys.stderr)


def write_error(text: str) -> None:
    print(f"{_coloured('error:', _RED, sys.stderr)} {printable(text)}", file=sys.stderr)


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and NO_COLOR (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(text: str, colour: str, stream: TextIO) -> str:
    return f"{colour}{text}{_PLAIN}" if has_colours(stream) else text
