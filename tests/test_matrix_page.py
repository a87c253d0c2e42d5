"""Every neck and head on backbones of every shape: it runs or is refused with a message, never with a traceback."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parent.parent / "docs"
MATRIX = runpy.run_path(str(DOCS / "make_matrix.py"))
COLUMNS = MATRIX["columns"]()
PYRAMID = re.compile(r"simple_feature_pyramid( with strides=(?P<strides>\[[\d,]+\]))? first in neck")
QUICK = ("ResNet-18: strides 2 to 32", "DINOv2-S: plain, 14", "LeViT: 16 to 64")  # a hierarchy, a plain one, a misfit


@pytest.mark.parametrize("part", COLUMNS)
def test_a_part_meets_three_shapes_as_the_page_says(part):
    lines = (DOCS / "matrix.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith(f"| {part} |"))
    expected = dict(zip(MATRIX["BACKBONES"], row.strip("|").split(" | ")[1:], strict=True))
    for shape in QUICK:
        cell = MATRIX["cell"](MATRIX["BACKBONES"][shape], COLUMNS[part])
        assert cell.verdict == expected[shape].strip() or (cell.message and expected[shape].strip().startswith("["))
        assert not cell.message or "The fix: " in cell.message


@pytest.mark.slow
def test_the_page_is_what_is_built():
    page = MATRIX["matrix_page"](MATRIX["matrix"]())
    assert (DOCS / "matrix.md").read_text(encoding="utf-8") == page, "run `python docs/make_matrix.py`"


@pytest.mark.slow
@pytest.mark.parametrize("part", COLUMNS)
def test_the_pyramid_that_a_message_offers_works(part):
    """Where the fix is `simple_feature_pyramid` first in neck, perhaps with other strides, the model runs."""
    parts = COLUMNS[part]
    for name in MATRIX["BACKBONES"].values():
        offered = PYRAMID.search(MATRIX["cell"](name, parts).message)
        if offered is None:
            continue
        strides = offered["strides"]
        pyramid = {"name": "simple_feature_pyramid", **({"strides": yaml.safe_load(strides)} if strides else {})}
        necks = parts.get("neck") or []
        necks = [necks] if isinstance(necks, dict) else necks
        assert MATRIX["cell"](name, {**parts, "neck": [pyramid, *necks]}).verdict == "runs"
