"""Dropout rates of a configuration: idle in eval mode, and in training at the points where transformers has them.

A rate of 1 makes dropout deterministic: everything that passes such a point becomes 0, in both libraries.
"""

from pathlib import Path

import pytest
import torch

from backbonekit.backbones.hf.blueprint import blueprint
from tests.fixed_weights import randomise_weights
from tests.old_checkpoints.backbone_cases import CONFIGS
from tests.parity.test_hf_backbones import assert_same, every_index, load

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

HIDDEN, ATTENTION = "hidden_dropout_prob", "attention_probs_dropout_prob"
CASES = [
    *((name, field) for name in ("dinov2", "dinov2-with-registers", "beit") for field in (HIDDEN, ATTENTION)),
    *((name, field) for name in ("swin", "swinv2", "maskformer-swin", "pvt-v2") for field in (HIDDEN, ATTENTION)),
    ("vitpose", HIDDEN), ("vitpose", ATTENTION),
    ("focalnet", HIDDEN), ("focalnet-all-options", HIDDEN),
    ("vitdet", "dropout_prob"), ("dinov3-vit", "attention_dropout"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "field"), CASES)
def test_rates_act_where_transformers_has_them(name: str, field: str, tmp_path: Path) -> None:
    class_name, options = CONFIGS[name]
    config = getattr(transformers, class_name)(**{**options, field: 1.0})
    if "drop_path_rate" in config.to_dict():
        config.drop_path_rate = 0.0
    indices = every_index(config)
    config.out_indices = indices
    theirs_class = getattr(transformers, f"{class_name.removesuffix('Config').removesuffix('Backbone')}Backbone")
    theirs = randomise_weights(theirs_class(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours, _, _ = load(tmp_path, indices)
    size = getattr(config, "image_size", 64)
    pixel_values = torch.randn(2, 3, *((size, size) if isinstance(size, int) else size))
    with torch.no_grad():
        still = ours(pixel_values).maps
        assert_same(still, theirs(pixel_values).feature_maps, 1e-4)
        given, expected = ours.train()(pixel_values).maps, theirs.train()(pixel_values).feature_maps
    assert_same(given, expected, 1e-4)
    assert (given[-1] - still[-1]).abs().max() > 0.01


def test_a_recipe_may_set_the_rate_and_gradients_pass() -> None:
    config = {"model_type": "dinov2", **CONFIGS["dinov2"][1]}
    source = blueprint(None, config=config, revision=None, in_channels=3, args={HIDDEN: 0.3, ATTENTION: 0.2})
    model = source.construct([1, 3])
    pixel_values = torch.randn(2, 3, 56, 56)
    assert torch.equal(model(pixel_values).maps[1], model(pixel_values).maps[1])
    model.train()
    first, second = model(pixel_values).maps[1], model(pixel_values).maps[1]
    assert not torch.equal(first, second)
    first.sum().backward()
    assert source.architecture.hidden_dropout_prob == 0.0  # the checkpoint's own
