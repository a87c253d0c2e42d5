"""Every shipped recipe is exported to ONNX and agrees with the model, or docs/export.md says why not."""

import runpy
from pathlib import Path

import pytest

from backbonekit.recipe.compose import model_names

DOCS = Path(__file__).parent.parent / "docs"
EXPORT = runpy.run_path(str(DOCS / "make_export.py"))
RCNNS = {"faster_rcnn_resnet50_fpn", "mask_rcnn_resnet50_fpn"}
QUICK = ("unet_digits", "fcos_digits", "faster_rcnn_resnet50_fpn")


def verdicts():
    """What the page says of each recipe."""
    return {name: line.split(" | ")[1] for name, line in EXPORT["lines"]().items()}


def check(name):
    """A recipe agrees with its file, unless it is an R-CNN; and what the page says of it, if anything, is so."""
    found = EXPORT["row"](name)
    assert found.is_exported == (name not in RCNNS), found.reason
    assert found.verdict == verdicts().get(name, found.verdict)


def test_the_page_has_no_recipe_that_does_not_ship():
    assert len(verdicts()) >= 32
    assert set(verdicts()) <= set(model_names())
    assert {name for name, verdict in verdicts().items() if verdict.startswith("not exported")} <= RCNNS


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_is_exported_as_the_page_says(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(model_names()) - set(QUICK)))
def test_all_recipes_are_exported_as_the_page_says(name):
    check(name)
