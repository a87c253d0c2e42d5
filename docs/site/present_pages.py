"""The index names pages in the order in which they are read; those that a version does not have yet are left out."""

from pathlib import Path
from typing import Any


def present(index: str, folder: Path) -> str:
    """The index without the entries of its tables of contents that match no page."""
    written: list[str] = []
    in_contents = False
    for line in index.splitlines(keepends=True):
        if line.startswith("```"):
            in_contents = line.startswith("```{toctree}")
        entry = line.strip()
        is_entry = in_contents and entry and not entry.startswith(("```", ":"))
        if not is_entry or any(folder.glob(f"{entry}.md")):
            written.append(line)
    return "".join(written)


def _leave_out(app: Any, page: str, content: list[str]) -> None:
    if page == app.config.root_doc:
        content[0] = present(content[0], Path(app.srcdir))


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _leave_out)
    return {"parallel_read_safe": True}
