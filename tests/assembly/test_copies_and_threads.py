"""A model in eval mode is one object for many threads, and can be copied and sent to another process."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import backbonekit as bk
from tests.assembly.recipes import DINOV2, FCN, RESNET, SWIN, TIMM_VIT, maskformer
from tests.fixed_weights import randomise_weights

SIZE = {"processing": {"size": [56, 56]}}
RECIPES = {
    "masks": maskformer(SWIN),
    "pixels": {"backbone": RESNET, "head": FCN, **SIZE},
    "tokens": {"backbone": DINOV2, "head": {"name": "linear_probe", "num_classes": 3}, **SIZE},
    "queries": {
        "backbone": RESNET,
        "neck": {"name": "hybrid_encoder", "channels": 32, "num_heads": 2, "feedforward_channels": 32},
        "head": {"name": "rt_detr", "num_classes": 3, "num_queries": 5, "num_heads": 2, "feedforward_channels": 32},
        "processing": {"size": [64, 64]},
    },
    "locations": {
        "backbone": RESNET,
        "neck": {"name": "fpn", "channels": 32, "num_extra_levels": 2},
        "head": {"name": "fcos", "num_classes": 3},
        **SIZE,
    },
    "regions": {
        "backbone": RESNET,
        "neck": {"name": "fpn", "channels": 16, "num_extra_levels": 1},
        "head": {"name": "faster_rcnn", "num_classes": 3},
        **SIZE,
    },
    "tasks": {
        "backbone": {**TIMM_VIT, "args": {**TIMM_VIT["args"], "dynamic_img_size": True}},
        "heads": {
            "kind": {"head": {"name": "classification", "num_classes": 2}},
            "parts": {"head": {"name": "fcn", "num_classes": 3}},
        },
        "processing": {"size": [64, 64]},
    },
}


@pytest.fixture(params=RECIPES, scope="module")
def model(request):
    return randomise_weights(bk.build_model(RECIPES[request.param])).eval()


def inputs(model, number):
    size = model.processor.processing.size or (64, 64)
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(number))


def numbers(model, pixels):
    """Every tensor of the predictions."""
    with torch.inference_mode():
        leaves = torch.utils._pytree.tree_leaves(model(pixels).predictions)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def assert_equal(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_a_copy_and_a_pickle_predict_the_same_and_share_nothing(model):
    pixels = inputs(model, 0)
    expected = numbers(model, pixels)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_equal(numbers(twin, pixels), expected)
        assert twin.recipe == model.recipe
        ours = {parameter.data_ptr() for parameter in model.parameters()}
        assert not ours & {parameter.data_ptr() for parameter in twin.parameters()}
        randomise_weights(twin, seed=1)
    assert_equal(numbers(model, pixels), expected)


def test_eight_threads_on_one_model(model):
    given = [inputs(model, number) for number in range(8)]
    expected = [numbers(model, pixels) for pixels in given]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            for found, one in zip(threads.map(lambda pixels: numbers(model, pixels), given), expected, strict=True):
                assert_equal(found, one)
