"""save_pretrained(format="transformers"): transformers opens the folder with every weight, and predicts the same."""

import json
from pathlib import Path

import pytest
import torch

import backbonekit as bk
from tests.fixed_weights import randomise_weights
from tests.parity import convolutional_configs, transformer_configs
from tests.parity.detection_example import assert_near
from tests.parity.small_composed import MODELS, hf, upernet

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
# Fields of our predictions, and transformers' names.
PREDICTIONS = {
    "class_logits": ("logits", "class_queries_logits"),
    "boxes_cxcywh": ("pred_boxes",),
    "mask_logits": ("masks_queries_logits",),
    "logits": ("logits",),
    "depth": ("predicted_depth",),
    "heatmaps": ("heatmaps",),
}
OF_ONE_SIZE = ("vitpose", "hiera")  # families whose positions are a grid; vitpose's returns tokens in transformers
FAMILIES = {
    name: {"model_type": getattr(transformers, config).model_type, **fields}
    for configs in (convolutional_configs, transformer_configs)
    for name, (config, fields) in configs.CONFIGS.items()
    if name in configs.ONE_OF_EACH and not name.startswith(OF_ONE_SIZE)
}


def opened_by_transformers(model: bk.ComposedModel, folder: Path):
    model.save_pretrained(folder, format="transformers")
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    theirs, report = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    assert {name: keys for name, keys in report.items() if keys} == {}
    return theirs.eval()


def assert_equal_predictions(model: bk.ComposedModel, theirs, images):
    with torch.no_grad():
        ours, expected = model(images).predictions, theirs(images)
    compared = set()
    for name, names in PREDICTIONS.items():
        given = vars(ours).get(name)
        found = [one for one in names if one in expected]
        if given is None or not found:
            continue
        theirs_by_name = expected[found[0]]
        # Depth has a channel here, and none there.
        assert_near(given if given.dim() == theirs_by_name.dim() else given.squeeze(1), theirs_by_name, name=name)
        compared.add(found[0])
    assert compared == {one for names in PREDICTIONS.values() for one in names if one in expected}


@pytest.mark.parametrize("name", MODELS)
def test_transformers_finds_every_weight_and_predicts_the_same(name, tmp_path):
    torch.manual_seed(0)
    model = randomise_weights(bk.build_model(MODELS[name]))
    theirs = opened_by_transformers(model, tmp_path)
    images = torch.randn(2, model.recipe.backbone.in_channels, *((64, 48) if name.startswith("vitpose") else (96, 128)))
    assert_equal_predictions(model, theirs, images)
    again = bk.load_model(tmp_path)
    with torch.no_grad():
        for given, expected in zip(
            torch.utils._pytree.tree_leaves(again(images).predictions),
            torch.utils._pytree.tree_leaves(model(images).predictions),
            strict=True,
        ):
            torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_of_each_family(name, tmp_path):
    backbone = hf(FAMILIES[name], out_indices=[-2, -1])
    model = randomise_weights(bk.build_model(upernet(backbone, num_deepest_levels=2, auxiliary=False)))
    assert_equal_predictions(model, opened_by_transformers(model, tmp_path), torch.randn(1, 3, 96, 128))
