"""docs/targets.md tells what the code reads."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_tables_are_those_of_the_code() -> None:
    text = (DOCS / "targets.md").read_text(encoding="utf-8")
    page = runpy.run_path(str(DOCS / "make_targets.py"))["targets_page"](text)
    assert text == page, "run `python docs/make_targets.py`"
    for row in ("| `fcos` | `fcos` | boxes (x0, y0, x1, y1 in pixels) and labels |", "| `boxes` | float32 | [N, 4] |"):
        assert row in page
