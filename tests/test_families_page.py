"""The table of families in the docs is made of the code."""

import json
import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_the_families_say():
    page = runpy.run_path(str(DOCS / "make_families.py"))["families_page"]()
    assert (DOCS / "families.md").read_text(encoding="utf-8") == page, "run `python docs/make_families.py`"


def test_the_figures_are_of_every_family_and_within_what_is_promised():
    figures = json.loads((DOCS / "families.json").read_text(encoding="utf-8"))
    families = runpy.run_path(str(DOCS / "make_families.py"))
    assert set(figures) == set(families["CHECKPOINTS"]) == set(families["model_types"]())
    assert all(0 <= figure < 1e-4 for figure in figures.values())
