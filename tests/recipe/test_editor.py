"""What an editor makes of the schemas, by the language server that editors use (npm install yaml-language-server)."""

import os
import shutil
from pathlib import Path

import pytest

from backbonekit.recipe.config_roots import shipped_root
from backbonekit.recipe.json_schema import OF_SHIPPED_FILES, modeline, shipped_schema
from tests.recipe.language_server import LanguageServer

PROGRAM = os.environ.get("YAML_LANGUAGE_SERVER") or shutil.which("yaml-language-server")
pytestmark = pytest.mark.skipif(
    PROGRAM is None or shutil.which("node") is None,
    reason="yaml-language-server (npm) and node are missing; YAML_LANGUAGE_SERVER=PATH names it elsewhere",
)
CONFIGS = shipped_root().folder


@pytest.fixture(scope="module")
def server():
    # In the folder of the shipped recipes, so that the relative paths in their comments are right.
    server = LanguageServer([str(PROGRAM), "--stdio"], CONFIGS / "model")
    yield server
    server.close()


def file(kind: str, text: str) -> str:
    return f"{modeline(shipped_schema(kind))}\n{text}"


@pytest.mark.parametrize(
    ("kind", "text", "expected", "foreign"),
    [
        ("recipe", "|", "backbone", "optimisation"),
        ("recipe", "head: |", "mask2former", "fpn"),
        ("recipe", "head:\n  name: |", "mask2former", "fpn"),
        ("recipe", "head:\n  name: fcos\n  |", "num_convolutions", "num_queries"),
        ("recipe", "neck:\n  - name: |", "fpn_pixel_decoder", "mask2former"),
        ("recipe", "heads:\n  seg:\n    head:\n      name: fcn\n      |", "auxiliary", "num_queries"),
        ("recipe", "backbone: |", "swin_tiny", "fpn"),
        ("recipe", "backbone:\n  config:\n    model_type: swin\n    |", "window_size", "hidden_sizes"),
        ("recipe", "defaults:\n  - |", "fcn_resnet50", "mask2former"),
        ("recipe", "defaults:\n  - neck: |", "fpn_pixel_decoder", "swin_tiny"),
        ("experiment", "data:\n  name: |", "image_folders", "mosaic"),
        ("experiment", "augmentation:\n  - |", "mosaic", "coco"),
        ("experiment", "optimisation:\n  |", "weight_decay", "max_epochs"),
        ("experiment", "model:\n  head:\n    name: fcos\n    |", "num_convolutions", "num_queries"),
        ("head", "name: fcos\n|", "num_convolutions", "num_queries"),
    ],
)
def test_names_and_options_are_completed(server, kind, text, expected, foreign):
    offered = server.offered(file(kind, text))
    assert expected in offered
    assert foreign not in offered


@pytest.mark.parametrize(
    ("kind", "text", "line", "said"),
    [
        ("recipe", "hed: {}\n", 1, "Property hed is not allowed"),
        ("recipe", "head: fnc\n", 1, "Value is not accepted"),
        ("recipe", "head:\n  name: fnc\n", 2, "Value must be"),
        ("recipe", "head:\n  num_querys: 1\n", 2, "Property num_querys is not allowed"),
        ("recipe", "head:\n  name: fcn\n  dropout: 2\n", 3, "above the maximum of 1"),
        ("recipe", "backbone:\n  config: {model_type: resnet, depth: [1]}\n", 2, "Property depth is not allowed"),
        ("experiment", "optimisation:\n  learning_rate: 1\n", 2, "Property learning_rate is not allowed"),
        ("experiment", "augmentation:\n  - name: mosaic\n    x: 1\n", 3, "Property x is not allowed"),
        ("neck", "name: fpn\nchanels: 1\n", 2, "Property chanels is not allowed"),
    ],
)
def test_a_typo_is_marked_on_its_line(server, kind, text, line, said):
    marked = server.marked(file(kind, text))
    assert [number for number, _ in marked] == [line]
    assert said in marked[0][1]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("recipe", "defaults:\n  - fcn_resnet50\n  - override backbone: mine\n  - _self_\nhead:\n  num_classes: 3\n"),
        ("recipe", "neck: fpn\nhead: {name: fcn, channels: '${neck.channels}'}\n"),
        ("experiment", "defaults:\n  - /model: mine\n  - _self_\nmodel: {head: {num_classes: auto}}\n"),
    ],
)
def test_defaults_lists_and_overrides_are_valid(server, kind, text):
    assert server.marked(file(kind, text)) == []


@pytest.mark.parametrize("kind", OF_SHIPPED_FILES)
def test_a_shipped_file_finds_its_schema(server, kind):
    """By the comment that it carries: unchanged it is valid, with one more key that key is marked."""
    group = {"recipe": "model", "experiment": "experiment"}.get(kind, f"model/{kind}")
    path: Path = min((CONFIGS / group).glob("*.yaml"))
    # The file is shown as one of configs/model/, where the paths of the groups below it do not hold.
    text = path.read_text(encoding="utf-8").replace("../../schema/", "../schema/")
    assert server.marked(text) == []
    assert "Property no_such_key is not allowed" in server.marked(f"{text}\nno_such_key: 1\n")[0][1]
