"""Files of somebody else with one thing changed: what they describe, or one of our errors, and never anything else."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

import backbonekit as bk
from backbonekit.backbones.hf.class_names import CLASS_NAMES
from backbonekit.hf_models import __all__ as names_of_transformers
from tests.security.fuzz_actions import CLASSES, SMALL, saved_file, stored
from tests.security.fuzzing import tries

CONFIGS = sorted(name for name in names_of_transformers if name.endswith("Config") and name != "TimmBackboneConfig")
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([10**400, -(10**400), 2**63, 10**9, 5e-324, 1e308, float("nan"), float("inf")]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "x" * 10_000, "~nobody/x", "../x", "owner/name", "swin", "resnet18", "\x1b[2J", "gelu"]),
)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "ConvNextImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "crop_pct": 0.875,
    "do_center_crop": True,
    "do_normalize": True,
    "do_pad": False,
    "do_reduce_labels": False,
    "do_rescale": True,
    "ignore_index": 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "keep_aspect_ratio": False,
    "ensure_multiple_of": 1,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size_divisor": 32,
}
TIMM: dict[str, Any] = {
    "architecture": "resnet10t",
    "num_classes": 1000,
    "num_features": 512,
    "global_pool": "avg",
    "model_args": {"in_chans": 3},
    "pretrained_cfg": {
        "tag": "x",
        "input_size": [3, 176, 176],
        "test_input_size": [3, 224, 224],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 1000,
        "pool_size": [6, 6],
        "first_conv": "conv1.0",
        "classifier": "fc",
    },
}
HEADER: dict[str, Any] = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "I8", "shape": [2, 2], "data_offsets": [8, 12]},
    "__metadata__": {"format": "pt"},
}

NECKS: dict[str, Any] = {
    "backbone": {"source": "timm", "name": "resnet10t", "out_indices": [1, 2, 3], "args": {"output_stride": 32}},
    "neck": [{"name": "channel_mapper", "channels": 16}, {"name": "pafpn", "channels": 16}],
    "head": {"name": "fcn", "num_classes": 2},
}
QUERIES: dict[str, Any] = {
    "backbone": {"source": "timm", "name": "resnet10t"},
    "head": {"name": "d_fine", "num_classes": 3, "num_queries": 5, "num_layers": 1},
    "training": {"freeze": {"stages": 2}},
}


def changed(draw: Callable[[Any], Any], content: dict[str, Any]) -> dict[str, Any]:
    """A copy with one or two entries changed, at any depth, or renamed."""
    copied = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 2))):
        where = copied
        while True:
            key = draw(st.sampled_from(sorted(where)))
            if not isinstance(where[key], dict) or not where[key] or draw(st.booleans()):
                break
            where = where[key]
        value = draw(VALUE)
        if draw(st.integers(0, 9)) == 0:
            key = draw(st.text(max_size=8))
        where[key] = value
    return copied


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations(name: str) -> None:
    content = _default(getattr(bk, name))
    tries(CLASSES + name, lambda draw: changed(draw, content))


@cache
def _default(config_class: Any) -> dict[str, Any]:
    # The first DPT, with a transformer of its own, is not built.
    given = {"backbone_config": bk.Dinov2Config(num_hidden_layers=4)} if config_class is bk.DPTConfig else {}
    return json.loads(json.dumps(config_class(**given).to_dict(), default=str))


def test_preprocessor_configs() -> None:
    tries("preprocessor", lambda draw: changed(draw, PREPROCESSOR))


def test_timm_configs() -> None:
    tries("timm folder", lambda draw: changed(draw, TIMM))


def test_safetensors_headers() -> None:
    lengths = st.sampled_from([0, 0, 0, 1, -1, 2**40])
    tries("safetensors", lambda draw: stored(changed(draw, HEADER), longer=draw(lengths)))


def test_architectures() -> None:
    """The modules of a backbone are laid out, without memory for them."""
    contents = [_default(getattr(bk, f"{name}Config")) for name in CLASS_NAMES.values()]
    tries("architecture", lambda draw: changed(draw, draw(st.sampled_from(contents))))


def test_models() -> None:
    tries("model", lambda draw: changed(draw, draw(st.sampled_from([SMALL, NECKS, QUERIES]))))


def test_saved_folders() -> None:
    def one_file_changed(draw: Callable[[Any], Any]) -> dict[str, str]:
        name = draw(st.sampled_from(["recipe.yaml", "preprocessor_config.json", "model.safetensors"]))
        content = bytearray(saved_file(name))
        if name == "recipe.yaml" and draw(st.booleans()):
            content = bytearray(yaml.safe_dump(changed(draw, yaml.safe_load(saved_file(name)))).encode())
        for _ in range(draw(st.integers(0, 3))):
            content[draw(st.integers(0, min(len(content), 2_000) - 1))] = draw(st.integers(0, 255))
        length = draw(st.sampled_from([len(content), len(content) // 2]))
        return {"name": name, "content": bytes(content[:length]).hex()}

    tries("saved folder", one_file_changed)
