"""What is done with an input of each kind that is fuzzed. An input is plain data, so that it can be kept as JSON."""

import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import backbonekit as bk
from backbonekit.backbones.hf.blueprint import of_config
from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.image_processing.preprocessor_config import read_processing
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.sweep import expand_sweep
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.weights.stored_tensors import read_safetensors

CLASSES = "configuration "  # followed by the name of the class


def action_of(kind: str) -> Callable[[Any], object]:
    """What a kind does with an input."""
    if kind.startswith(CLASSES):
        config_class = getattr(bk, kind.removeprefix(CLASSES))
        return lambda content: config_class.from_dict(content)
    return ACTIONS[kind]


def _saved_recipe(recipe: Recipe) -> Recipe:
    again = recipe_from_mapping(read_yaml(dump_recipe(recipe)))
    assert again == recipe
    return recipe


@cache
def start() -> Recipe:
    """The recipe that overrides change."""
    return compose_recipe("maskformer_resnet50")


def _overrides(given: list[str]) -> object:
    return _saved_recipe(compose_recipe(start(), given))


def _mapping(given: dict[str, Any]) -> object:
    try:
        return _saved_recipe(recipe_from_mapping(given))
    finally:
        _saved_recipe(compose_recipe(given, ["backbone=swin_tiny", "neck=fpn"]))


def _yaml_bytes(given: str) -> object:
    """`given`: the bytes in hexadecimal."""
    return _saved_recipe(recipe_from_mapping(read_yaml(bytes.fromhex(given))))


def _yaml_text(given: str) -> object:
    return _saved_recipe(recipe_from_mapping(read_yaml(given)))


def _name(given: str) -> object:
    return _saved_recipe(compose_recipe(given))


def _config_folder(given: dict[str, str]) -> object:
    """`given`: the `folder` in which the file `text` stands, model or model/backbone."""
    with TemporaryDirectory() as root:
        folder = Path(root, given["folder"])
        folder.mkdir(parents=True)
        (folder / "x.yaml").write_text(given["text"], encoding="utf-8", errors="surrogatepass")
        model, overrides = ("x", []) if given["folder"] == "model" else ("features_swin_tiny", ["backbone=x"])
        return _saved_recipe(compose_recipe(model, overrides, config_dir=root))


def _timm_folder(given: dict[str, Any]) -> object:
    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(given))
        return blueprint(folder, config=None, revision=None, in_channels=3, args={}).processing


def _safetensors(given: str) -> object:
    """`given`: the file in hexadecimal."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(bytes.fromhex(given))
        return [tensor.load() for tensor in read_safetensors(path).values()]


def _architecture(given: dict[str, Any]) -> object:
    """A `config.json` of a backbone, up to the modules on the meta device."""
    plan = of_config(given, in_channels=3, args={})
    return plan.num_bytes(plan.default_indices)


def _model(given: dict[str, Any]) -> object:
    """A recipe, up to the modules on the meta device."""
    return bk.build_model(given, device="meta")


def _folder(given: dict[str, str]) -> object:
    """A saved model with one file changed. `given`: its `name` and its `content` in hexadecimal."""
    with TemporaryDirectory() as folder:
        for name, content in _saved_model().items():
            Path(folder, name).write_bytes(content)
        Path(folder, given["name"]).write_bytes(bytes.fromhex(given["content"]))
        return bk.load_model(folder)


@cache
def _saved_model() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        bk.build_model(SMALL).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


SMALL: dict[str, Any] = {
    "backbone": {
        "source": "hf",
        "config": {"model_type": "convnext", "hidden_sizes": [4, 4, 8, 8], "depths": [1, 1, 1, 1]},
    },
    "neck": {"name": "fpn", "channels": 8},
    "head": {"name": "semantic_fpn", "num_classes": 3, "channels": 8},
    "labels": ["a", "b", "c"],
}


def saved_file(name: str) -> bytes:
    """A file of the small saved model."""
    return _saved_model()[name]


def stored(header: dict[str, Any], *, longer: int = 0, data: bytes = bytes(12)) -> str:
    """A safetensors file in hexadecimal. `longer`: by how much its announced length is wrong."""
    text = json.dumps(header).encode()
    return (struct.pack("<Q", (len(text) + longer) % 2**64) + text + data).hex()


ACTIONS: dict[str, Callable[[Any], object]] = {
    "overrides": _overrides,
    "mapping": _mapping,
    "yaml bytes": _yaml_bytes,
    "yaml text": _yaml_text,
    "name": _name,
    "sweep": expand_sweep,
    "config folder": _config_folder,
    "preprocessor": read_processing,
    "timm folder": _timm_folder,
    "safetensors": _safetensors,
    "architecture": _architecture,
    "model": _model,
    "saved folder": _folder,
}
