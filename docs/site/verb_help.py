"""The page of verbs: `backbonekit VERB --help` of each, as it is printed now."""

import contextlib
import io
from typing import Any

from backbonekit.cli.verbs import VERBS, main

MARK = "<!-- every verb -->"


def verb_sections() -> str:
    """A section for each verb, with its help as a block."""
    return "\n".join(
        f"## {verb}\n\n{_sentence(what)}\n\n```text\n{_help(verb)}```\n" for verb, (_, what) in VERBS.items()
    )


def _sentence(what: str) -> str:
    return what[0].upper() + what[1:] + "."


def _help(verb: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([verb, "--help"])
    assert code == 0, f"backbonekit {verb} --help ended with {code}"
    return printed.getvalue().rstrip("\n") + "\n"


def _fill(app: Any, page: str, content: list[str]) -> None:
    if MARK in content[0]:
        content[0] = content[0].replace(MARK, verb_sections())


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
