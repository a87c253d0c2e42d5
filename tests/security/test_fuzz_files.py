"""Files of somebody else with one thing changed: what they describe, or one of our errors, and never anything else.

`make fuzz` tries many more of them: FUZZ_EXAMPLES=20000.
"""

import json
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import backbonekit as bk
from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.errors import MAX_MESSAGE, ContractError, RecipeError, StorageError, WeightsError
from backbonekit.hf_models import __all__ as names_of_transformers
from backbonekit.image_processing.preprocessor_config import read_processing
from backbonekit.weights.stored_tensors import read_safetensors

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES < 1_000,  # the tests of every day are the same ones each time
)

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


def ours_alone(action: Callable[[], Any]) -> None:
    """Runs it; one of our four errors with a short message may come of it, and nothing else."""
    message = ""
    try:
        action()
    except (RecipeError, ContractError, WeightsError, StorageError) as error:
        message = str(error)
    assert len(message) <= MAX_MESSAGE


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
@fuzz
@given(data=st.data())
def test_configurations(name: str, data: st.DataObject) -> None:
    config_class = getattr(bk, name)
    content = changed(data.draw, _default(config_class))
    ours_alone(lambda: config_class.from_dict(content))


@cache
def _default(config_class: Any) -> dict[str, Any]:
    # The first DPT, with a transformer of its own, is not built.
    given = {"backbone_config": bk.Dinov2Config(num_hidden_layers=4)} if config_class is bk.DPTConfig else {}
    return json.loads(json.dumps(config_class(**given).to_dict(), default=str))


@fuzz
@given(data=st.data())
def test_preprocessor_configs(data: st.DataObject) -> None:
    content = changed(data.draw, PREPROCESSOR)
    ours_alone(lambda: read_processing(content))


@fuzz
@given(data=st.data())
def test_timm_configs(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("timm")
    (folder / "config.json").write_text(json.dumps(changed(data.draw, TIMM)))
    ours_alone(lambda: blueprint(str(folder), config=None, revision=None, in_channels=3, args={}).processing)


@fuzz
@given(data=st.data())
def test_safetensors_headers(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    text = json.dumps(changed(data.draw, HEADER)).encode()
    length = len(text) + data.draw(st.sampled_from([0, 0, 0, 1, -1, 2**40]))
    path.write_bytes(struct.pack("<Q", length) + text + bytes(12))

    def read() -> None:
        for tensor in read_safetensors(path).values():
            tensor.load()

    ours_alone(read)
