"""The table of families in the docs is made of the code."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_the_families_say():
    page = runpy.run_path(str(DOCS / "make_families.py"))["families_page"]()
    assert (DOCS / "families.md").read_text(encoding="utf-8") == page, "run `python docs/make_families.py`"
