"""DPT and Depth Anything folders that transformers saved, opened by us: predictions, gradients, depth in images."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.assembly.load import load_model
from backbonekit.contract.processing import Geometry
from backbonekit.heads.depth_anything.checkpoint import DEPTH_ANYTHING
from backbonekit.heads.dpt.checkpoint import DPT
from backbonekit.postprocessing.results import to_results
from backbonekit.weights.checkpoint import open_checkpoint
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
DEPTHS = [1, 2, 3, 5]
TOKENS = {"out_indices": DEPTHS, "reshape_hidden_states": False}
NECK = {"neck_hidden_sizes": [6, 8, 10, 12], "reassemble_factors": [4, 2, 1, 0.5]}


def dinov2(**changes):
    return transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=56, patch_size=14, **TOKENS, **changes
    )


def beit(**changes):
    return transformers.BeitConfig(
        hidden_size=24,
        num_hidden_layers=5,
        num_attention_heads=2,
        intermediate_size=36,
        image_size=64,
        patch_size=16,
        use_relative_position_bias=True,
        **TOKENS,
        **changes,
    )


def swinv2():
    return transformers.Swinv2Config(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64, out_indices=[1, 2, 3, 4]
    )


def dpt(backbone, **changes):
    options = {**NECK, "fusion_hidden_size": 16, **changes}
    return transformers.DPTForDepthEstimation(transformers.DPTConfig(backbone_config=backbone, **options))


def depth_anything(backbone, **changes):
    options = {**NECK, "fusion_hidden_size": 16, "head_hidden_size": 6, "reassemble_hidden_size": 24, **changes}
    config = transformers.DepthAnythingConfig(backbone_config=backbone, **options)
    return transformers.DepthAnythingForDepthEstimation(config)


MODELS = {
    "dpt on dinov2, token projected": lambda: dpt(dinov2(apply_layernorm=False), readout_type="project"),
    "dpt on dinov2, token added, norms": lambda: dpt(
        dinov2(), readout_type="add", use_batch_norm_in_fusion_residual=True, use_bias_in_fusion_residual=True
    ),
    "dpt on beit, token ignored, projection": lambda: dpt(
        beit(), readout_type="ignore", add_projection=True, fusion_hidden_size=256, use_bias_in_fusion_residual=False
    ),
    "dpt on swinv2": lambda: dpt(swinv2(), neck_hidden_sizes=[8, 16, 32, 64]),
    "depth anything": lambda: depth_anything(dinov2()),
    "depth anything, metric": lambda: depth_anything(dinov2(), depth_estimation_type="metric", max_depth=20),
    "depth anything on three maps": lambda: depth_anything(
        transformers.Dinov2Config(
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=56,
            reshape_hidden_states=False,
            out_indices=[1, 2, 3],
        ),
        neck_hidden_sizes=[6, 8, 10],
        reassemble_factors=[2, 1, 0.5],
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """A model of transformers, the folder that it was saved to, and a size of images that it takes."""
    model = randomise_weights(MODELS[request.param]()).eval()
    with torch.no_grad():
        # So that the last ReLU cuts nothing off, and no difference hides in what it cuts.
        last = model.head.head[4] if "dpt" in request.param else model.head.conv3
        last.bias += 0.0 if "metric" in request.param else 2.0
    folder = tmp_path_factory.mktemp("depth")
    model.save_pretrained(folder)
    size = (64, 64) if "swinv2" in request.param else (96, 64) if "beit" in request.param else (131, 87)
    return model, folder, size


def test_a_saved_folder_has_the_same_depth(saved):
    theirs, folder, size = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, given = theirs(images).predicted_depth, ours(images).predictions.depth
    assert given.shape == expected.shape
    assert expected.std() > 0
    assert (given - expected).abs().max() / expected.abs().max() < 1e-4


def test_gradients_are_those_of_the_reference(saved, tmp_path):
    """transformers has no loss for depth, so an own one over the depth: the same of both."""
    theirs, folder, size = saved
    theirs, ours = theirs.double(), load_model(folder).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    expected, given = theirs(images).predicted_depth, ours(images).predictions.depth
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (given * weights).sum().backward()
    assert (given - expected).abs().max() / expected.abs().max() < 1e-10
    config = json.loads((folder / "config.json").read_text())
    converter = DPT if "DPT" in config["architectures"][0] else DEPTH_ANYTHING
    compared = {name: one.grad.contiguous() for name, one in theirs.named_parameters() if one.grad is not None}
    save_file(compared, tmp_path / "gradients.safetensors")
    reference = converter.key_map(config).translate(open_checkpoint(tmp_path / "gradients.safetensors"))
    gradients = {name: one.grad for name, one in ours.named_parameters()}
    assert gradients.keys() == set(reference.keys())
    largest = max(one.abs().max() for one in compared.values())
    for name, gradient in gradients.items():
        difference = (gradient - reference.tensor(name)).abs().max()
        assert difference / gradient.abs().max().clamp(min=1e-3 * largest) < 1e-10, name
    theirs.float().zero_grad()


def test_our_weights_are_written_back_under_their_names(saved):
    _, folder, _ = saved
    config = json.loads((folder / "config.json").read_text())
    converter = DPT if "DPT" in config["architectures"][0] else DEPTH_ANYTHING
    written = converter.key_map(config).reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    assert written.keys() <= stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in written.items())
    idle = ("fusion_stage.layers.0.residual_layer1", "mask_token", "relative_position_index", "layernorm")
    assert all(any(part in name for part in idle) for name in stored.keys() - written.keys())


def test_another_backbone_keeps_neck_and_head(tmp_path):
    model = randomise_weights(depth_anything(dinov2()))
    model.save_pretrained(tmp_path)
    ours, swapped = load_model(tmp_path), load_model(tmp_path, ["backbone=timm/resnet18", "backbone.out_indices=auto"])
    kept, before = swapped.head.state_dict(), ours.head.state_dict()
    assert all(torch.equal(kept[name], before[name]) for name in before)
    assert swapped.weight_report is not None
    with torch.no_grad():
        assert swapped(torch.randn(1, 3, 64, 96)).predictions.depth.shape == (1, 64, 96)


@pytest.mark.parametrize("name", ["depth anything", "dpt on dinov2, token projected"])
def test_an_image_is_prepared_and_its_depth_comes_back_as_in_transformers(name, tmp_path):
    model = randomise_weights(MODELS[name]()).eval()
    model.save_pretrained(tmp_path)
    processor = transformers.DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    processor.save_pretrained(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (50, 75, 3), dtype=np.uint8)
    inputs = processor(image, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    (expected,) = processor.post_process_depth_estimation(outputs, target_sizes=[(50, 75)])
    ours = load_model(tmp_path)
    values = ours.processor([image])["pixel_values"]
    assert values.shape == inputs["pixel_values"].shape
    assert (values - inputs["pixel_values"]).abs().max() < 3 / 255 / 0.2  # two resampling kernels, see the processor
    # The same pixels for both, so that only the way back is compared.
    size = tuple(values.shape[-2:])
    with torch.no_grad():
        prediction = ours(inputs["pixel_values"]).predictions
    (result,) = to_results(prediction, [Geometry((50, 75), size, (0, 0), size, size)], scoring="softmax")
    scale = expected["predicted_depth"].abs().max()
    assert (result.depth - expected["predicted_depth"]).abs().max() / scale < 1e-4
