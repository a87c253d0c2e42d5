"""Our docstrings are plain text with `names` in backticks and drawings that are indented. Sphinx reads
reStructuredText, so autodoc's lines are rewritten before they are parsed.
"""

import re
from typing import Any

_CODE = re.compile(r"(\w?)`([^`]+)`(\w?)")


def in_restructured_text(lines: list[str]) -> list[str]:
    """The same docstring: `x` as a literal, indented blocks as literal blocks, everything else as plain text."""
    written: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        block = paragraph.strip("\n")
        if not block.strip():
            continue
        if all(line.startswith("    ") or not line.strip() for line in block.split("\n")):
            written += ["::", "", *block.split("\n"), ""]
        else:
            written += [*_marked(block).split("\n"), ""]
    return written


def _marked(text: str) -> str:
    pieces = []
    end = 0
    for found in _CODE.finditer(text):
        before, code, after = found.groups()
        # A letter right beside a literal would undo it.
        left, right = before and f"{_escaped(before)}\\ ", after and f"\\ {after}"
        pieces += [_escaped(text[end : found.start()]), f"{left}``{code}``{right}"]
        end = found.end()
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    """Without meaning for the parser, but for the star of a list at the start of a line."""
    text = text.replace("\\", "\\\\").replace("|", "\\|")
    text = re.sub(r"(?<!^)\*|^\*(?! )", r"\\*", text, flags=re.MULTILINE)
    return re.sub(r"_(?!\w)", r"\\_", text)


def _rewrite(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = in_restructured_text(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _rewrite)
    return {"parallel_read_safe": True}
