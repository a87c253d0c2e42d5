"""docs/recipes.md, experiments.md and architectures.md have every key that the code reads."""

import re
import runpy
from pathlib import Path

import pytest

from backbonekit.recipe.backbone_options import KEYS as BACKBONE_KEYS
from backbonekit.recipe.settings import LABEL_KEYS
from backbonekit.recipe.validate import KEYS, TASK_KEYS
from backbonekit.registry.lookup import names
from backbonekit.registry.table import WITH_OPTIONS, options, processing_fields

DOCS = Path(__file__).parent.parent / "docs"
MAKER = runpy.run_path(str(DOCS / "make_recipes.py"))
TEXTS = {name: (DOCS / name).read_text(encoding="utf-8") for name in MAKER["PAGES"]}


@pytest.mark.parametrize("page", MAKER["PAGES"])
def test_the_tables_are_those_of_the_code(page: str) -> None:
    assert TEXTS[page] == MAKER["with_tables"](TEXTS[page]), "run `make table`"


def rows_after(text: str, heading: str) -> list[str]:
    """The keys of the first table after a heading."""
    section = text.partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    assert table is not None, heading
    return re.findall(r"^\| `([\w.]+)` \|", table[0], flags=re.MULTILINE)


def test_every_key_of_a_recipe_has_a_row() -> None:
    page = TEXTS["recipes.md"]
    assert sorted(rows_after(page, "## The keys of a recipe")) == sorted([*KEYS, "defaults"])
    assert sorted(rows_after(page, "## backbone")) == sorted(BACKBONE_KEYS)
    assert rows_after(page, "## processing") == list(processing_fields())
    assert sorted(rows_after(page, "## Several tasks")) == sorted(TASK_KEYS)
    assert sorted(rows_after(page, "## labels")) == sorted(LABEL_KEYS)
    assert rows_after(page, "## training") == ["freeze.stages", "freeze.norms"]


@pytest.mark.parametrize("kind", WITH_OPTIONS)
def test_every_part_has_a_section_with_all_its_options(kind: str) -> None:
    page = TEXTS["experiments.md" if kind in ("data", "augmentation") else "recipes.md"]
    for name in names(kind):
        expected = list(options(kind, name) or {})
        heading = f"### criterion {name}" if kind == "criterion" else f"### {name}"
        assert f"\n{heading}\n" in page
        assert not expected or rows_after(page, heading) == expected


def test_every_option_says_what_it_does() -> None:
    parts = [(kind, name) for kind in WITH_OPTIONS for name in names(kind)]
    silent = [
        f"{name}.{option}"
        for kind, name in parts
        for option, entry in (options(kind, name) or {}).items()
        if not entry.get("doc")
    ]
    assert silent == []
    assert [name for name, entry in processing_fields().items() if not entry.get("doc")] == []
