"""Every shipped recipe has the size that its paper says, or the reason stands beside it."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NUMBERS = runpy.run_path(str(DOCS / "make_numbers.py"))
PAGE = (DOCS / "numbers.md").read_text(encoding="utf-8")
PUBLISHED = NUMBERS["published"]()


def test_every_recipe_has_a_row_and_every_row_a_recipe():
    assert list(PUBLISHED) == sorted(PUBLISHED)
    assert list(PUBLISHED) == NUMBERS["recipes"]()
    assert all(row["source"].strip() for row in PUBLISHED.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_those_of_the_paper_or_the_reason_is_given(name):
    theirs = PUBLISHED[name]
    ours = NUMBERS["count"](name, theirs.get("size"))
    given = {"parameters": ours.parameters} | ({"multiply_adds": ours.multiply_adds} if "size" in theirs else {})
    unlike = {
        what
        for what, number in given.items()
        if theirs.get(what) is None or number != pytest.approx(theirs[what], rel=NUMBERS["TOLERANCE"])
    }
    because = theirs.get("because", {})
    assert set(because) == unlike, "a reason for each number that is not the paper's, and for no other"
    assert all(len(reason.split()) > 3 for reason in because.values())
    assert NUMBERS["row"](name, ours, theirs) in PAGE, "run `python docs/make_numbers.py`"


def test_the_page_has_these_rows_and_no_other():
    rows = [line.split("|")[1].strip() for line in PAGE.removeprefix(NUMBERS["HEADER"]).splitlines()]
    assert PAGE.startswith(NUMBERS["HEADER"])
    assert rows == NUMBERS["recipes"]()
