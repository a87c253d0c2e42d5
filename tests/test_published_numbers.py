"""Every shipped recipe has the size that its paper says, or the reason stands beside it."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NUMBERS = runpy.run_path(str(DOCS / "make_numbers.py"))
PUBLISHED = NUMBERS["published"]()


def test_every_recipe_has_a_row_and_every_row_a_recipe():
    assert list(PUBLISHED) == sorted(PUBLISHED)
    assert list(PUBLISHED) == NUMBERS["recipes"]()
    assert all(row["source"].strip() for row in PUBLISHED.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_those_of_the_paper(name):
    theirs = PUBLISHED[name]
    if theirs.get("because"):
        assert len(theirs["because"].split()) > 3
        return
    ours = NUMBERS["count"](name, theirs.get("size"))
    assert ours.parameters == pytest.approx(theirs["parameters"], rel=NUMBERS["TOLERANCE"])
    if theirs.get("multiply_adds"):
        assert ours.multiply_adds == pytest.approx(theirs["multiply_adds"], rel=NUMBERS["TOLERANCE"])


def test_the_page_is_what_is_counted():
    page = NUMBERS["numbers_page"]()
    assert (DOCS / "numbers.md").read_text(encoding="utf-8") == page, "run `python docs/make_numbers.py`"
