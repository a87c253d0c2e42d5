"""The blocks of a page of the documentation, and running them from the first to the last."""

import io
import re
import shlex
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from backbonekit.cli.verbs import main


def blocks_of(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def run_page(page: Path, *, instead: Mapping[str, str] = {}) -> tuple[str, dict[str, Any]]:
    """Runs a page in the current folder as its reader would: `sh` blocks, which hold commands of backbonekit alone (and
    what pip installs, which is there already), `python` blocks, and `yaml` blocks that begin with the name of the file
    to write. `instead`: what a shorter run has in place of words of the page. Returns everything printed, and the
    names that the Python blocks have left. Blocks without a language are shown and not run."""
    text = page.read_text()
    for before, after in instead.items():
        assert before in text, f"{page.name} has no {before!r} any more"
        text = text.replace(before, after)
    printed, names = io.StringIO(), {"__name__": page.stem}
    for language, block in blocks_of(text):
        if language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block)):
            path = Path(named.group(1))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
        elif language == "python":
            with redirect_stdout(printed):
                exec(compile(block, page.name, "exec"), names)
        elif language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                printed.write(_run(line))
    return printed.getvalue(), names


def _run(line: str) -> str:
    words = shlex.split(line, comments=True)
    if not words or words[:2] == ["pip", "install"]:
        return ""
    assert words[0] == "backbonekit", f"a page runs backbonekit alone: {line}"
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        code = main(words[1:])
    assert code == 0, f"{line}\n{output.getvalue()}"
    return output.getvalue()
