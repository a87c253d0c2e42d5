"""docs/data.md names what the code has."""

import runpy
from pathlib import Path

from backbonekit.data.paper import PAPERS
from backbonekit.registry.lookup import names

DOCS = Path(__file__).parent.parent / "docs"


def test_the_table_of_augmentations_is_that_of_the_code() -> None:
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    assert text == runpy.run_path(str(DOCS / "make_data.py"))["data_page"](text), "run `python docs/make_data.py`"


def test_every_format_and_every_paper_is_on_the_page() -> None:
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    assert [name for name in names("data") if f"\n## {name}\n" not in text] == []
    assert [head for head in PAPERS if f"`{head}`" not in text] == []
