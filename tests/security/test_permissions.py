"""Folders and files that may not be read or written, in every option that takes a path: one of our errors.

Root may read everything, so that as root the tests take the effective rights of nobody for each attempt.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.cli.images import image_faults, images_of
from backbonekit.cli.verbs import VERBS
from backbonekit.errors import RecipeError, StorageError, WeightsError
from backbonekit.hub.opening import open_model
from backbonekit.image_processing.pixels import to_pixels
from backbonekit.postprocessing.writing import write_file
from backbonekit.weights.pickled import read_pickled
from tests.security.tried.weights import SMALL, saved

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs the rights of a POSIX system")
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    for path in [made, *made.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(made)


def as_nobody(action: Callable[[], Any]) -> Any:
    if os.geteuid() != 0:
        return action()
    os.seteuid(NOBODY)
    try:
        return action()
    finally:
        os.seteuid(0)


@cache
def small() -> Any:
    return bk.build_model(SMALL)


def model(path: Path) -> Path:
    path.mkdir()
    return saved(path)


def recipes(path: Path) -> Path:
    (path / "model" / "backbone").mkdir(parents=True)
    (path / "model" / "mine.yaml").write_text("backbone: {source: timm, name: resnet18}\n")
    (path / "model" / "backbone" / "x.yaml").write_text("source: timm\nname: resnet18\n")
    return path


def weights(path: Path) -> Path:
    model(path)
    torch.save({"a": torch.ones(2)}, path / "a.bin")
    Image.new("RGB", (9, 9)).save(path / "a.png")
    return path


def pretrained(path: Path) -> Any:
    return bk.build_model({"backbone": {**SMALL["backbone"], "pretrained": str(path)}})


# What is made in the folder, what of it is locked, and what is done with it.
LOCKED: dict[str, tuple[Callable[[Path], Path], str, Callable[[Path], Any]]] = {
    "load_model, the folder": (model, "", bk.load_model),
    "load_model, the recipe": (model, "recipe.yaml", bk.load_model),
    "load_model, the weights": (model, "model.safetensors", bk.load_model),
    "load_model, the processing": (model, "preprocessor_config.json", bk.load_model),
    "load_model, a file of it": (model, "", lambda path: bk.load_model(path / "recipe.yaml")),
    "open_model": (model, "", open_model),
    "model=FILE": (recipes, "", lambda path: bk.build_model(path / "model" / "mine.yaml")),
    "model=FILE, the file": (recipes, "model/mine.yaml", lambda path: bk.build_model(path / "model" / "mine.yaml")),
    "config_dir": (recipes, "", lambda path: bk.build_model("mine", config_dir=path)),
    "config_dir, its models": (recipes, "model", lambda path: bk.build_model("mine", config_dir=path)),
    "config_dir, its backbones": (
        recipes,
        "model/backbone",
        lambda path: bk.build_model("maskformer_resnet50", ["backbone=x"], config_dir=path),
    ),
    "config_dir, a file": (
        recipes,
        "model/backbone/x.yaml",
        lambda path: bk.build_model("maskformer_resnet50", ["backbone=x"], config_dir=path),
    ),
    "pretrained, a folder": (weights, "", pretrained),
    "pretrained, a file in it": (weights, "", lambda path: pretrained(path / "model.safetensors")),
    "pretrained, the file": (weights, "model.safetensors", lambda path: pretrained(path / "model.safetensors")),
    "backbone.name": (model, "", lambda path: bk.build_model({"backbone": {"source": "hf", "name": str(path)}})),
    "AutoBackbone": (model, "", bk.AutoBackbone.from_pretrained),
    "AutoImageProcessor": (model, "", bk.AutoImageProcessor.from_pretrained),
    "AutoImageProcessor, the file": (model, "preprocessor_config.json", bk.AutoImageProcessor.from_pretrained),
    "convert, a folder": (weights, "", read_pickled),
    "convert, a file in it": (weights, "", lambda path: read_pickled(path / "a.bin")),
    "convert, the file": (weights, "a.bin", lambda path: read_pickled(path / "a.bin")),
    "image, in a folder": (weights, "", lambda path: to_pixels(path / "a.png", 3)),
    "image, the file": (weights, "a.png", lambda path: to_pixels(path / "a.png", 3)),
    "images of a folder": (weights, "", lambda path: images_of(str(path))),
    "save_pretrained": (model, "", lambda path: small().save_pretrained(path)),
    "save_pretrained, in it": (model, "", lambda path: small().save_pretrained(path / "new" / "m1")),
    "write_file": (model, "", lambda path: write_file(path / "results.json", b"{}")),
    "config.to_json_file": (model, "", lambda path: bk.ResNetConfig().to_json_file(path / "x.json")),
    "config.save_pretrained": (model, "", lambda path: bk.ResNetConfig().save_pretrained(path)),
}
MODES = {"not to be entered": 0o644, "not to be listed": 0o711, "locked": 0o000}
FOLDERS = ("", "model", "model/backbone")
ROWS = [
    pytest.param(*row, mode, id=f"{what}: {how}")
    for what, row in LOCKED.items()
    for how, mode in (MODES.items() if row[1] in FOLDERS else [("locked", 0o000)])
]
# What is there can be read without a list of it; what is never read is not missed.
MAY_SUCCEED = {0o711, 0o644}


@pytest.mark.parametrize(("make", "locked", "use", "mode"), ROWS)
def test_what_may_not_be_read_or_written(
    folder: Path, make: Callable[[Path], Path], locked: str, use: Callable[[Path], Any], mode: int
):
    with suppress(RecipeError, StorageError, WeightsError):
        use(make(folder / "w"))  # imports what it needs
    path = make(folder / "x")
    (path / locked).chmod(mode)
    refused = False
    try:
        as_nobody(lambda: use(path))
    except (RecipeError, StorageError, WeightsError):
        refused = True
    assert refused or mode in MAY_SUCCEED


def test_a_read_only_folder_keeps_its_model(folder: Path):
    path = model(folder / "x")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    path.chmod(0o555)
    built = small()
    with pytest.raises(StorageError, match="cannot be written: Permission denied"):
        as_nobody(lambda: built.save_pretrained(path, overwrite=True))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_images_that_may_not_be_seen(folder: Path):
    path = weights(folder / "x")
    path.chmod(0o000)
    assert "Permission denied" in as_nobody(lambda: image_faults(str(path / "a.png")))[0]
    assert set(VERBS) >= {"predict", "convert"}
