"""MaskFormer folders that transformers saved, opened by us; and our weights, opened by transformers."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.assembly.load import load_model
from backbonekit.heads.maskformer.checkpoint import MASKFORMER
from backbonekit.weights.checkpoint import open_checkpoint
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
FOUR = [1, 2, 3, 4]


def backbones():
    return {
        "resnet": transformers.ResNetConfig(
            hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", out_indices=FOUR
        ),
        "resnet, three maps of four": transformers.ResNetConfig(
            hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", out_indices=[1, 2, 3]
        ),
        "swin": transformers.SwinConfig(
            embed_dim=12, depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4], window_size=4, image_size=64, out_indices=FOUR
        ),
        "dinov2": transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=56, patch_size=14, out_indices=FOUR
        ),
        "timm resnet": transformers.TimmBackboneConfig(
            backbone="resnet18", out_indices=FOUR, use_pretrained_backbone=False
        ),
        "timm convnext": transformers.TimmBackboneConfig(
            backbone="convnext_atto", out_indices=[0, 1, 2, 3], use_pretrained_backbone=False
        ),
        "timm vit": transformers.TimmBackboneConfig(
            backbone="vit_tiny_patch16_224", out_indices=[2, 5, 8], use_pretrained_backbone=False
        ),
    }


NAMES = (
    *("resnet", "resnet, three maps of four", "swin", "dinov2"),
    *("timm resnet", "timm convnext", "timm vit"),
)


@pytest.fixture(scope="module", params=NAMES)
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    config = transformers.MaskFormerConfig(
        backbone_config=backbones()[request.param],
        decoder_config=transformers.DetrConfig(
            d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=40, num_queries=7
        ),
        fpn_feature_size=32,
        mask_feature_size=24,
        id2label={0: "sky", 1: "person", 2: "road"},
    )
    model = randomise_weights(transformers.MaskFormerForInstanceSegmentation(config)).eval()
    folder = tmp_path_factory.mktemp("maskformer")
    model.save_pretrained(folder)
    return model, folder, (224, 224) if "vit" in request.param else (131, 87)


def test_a_saved_folder_has_the_same_predictions(saved):
    theirs, folder, size = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, given = theirs(images), ours(images).predictions
    for one, other in (
        (given.class_logits, expected.class_queries_logits),
        (given.mask_logits, expected.masks_queries_logits),
    ):
        assert (one - other).abs().max() / other.abs().max() < 1e-4
    assert ours.labels.names == ("sky", "person", "road")


def test_losses_are_those_of_the_reference(saved):
    theirs, folder, size = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *size)
    masks, labels = (
        [torch.rand(3, *size) > 0.6, torch.rand(1, *size) > 0.6],
        [torch.tensor([0, 2, 2]), torch.tensor([1])],
    )
    with torch.no_grad():
        expected = theirs(images, mask_labels=[mask.float() for mask in masks], class_labels=labels).loss
        given = ours(images, targets=[{"labels": one, "masks": two} for one, two in zip(labels, masks, strict=True)])
    assert abs(given.loss - expected) / expected < 1e-4


def test_names_on_disk_and_in_memory_are_both_read(saved, tmp_path):
    theirs, folder, _ = saved
    key_map = MASKFORMER.key_map(json.loads((folder / "config.json").read_text()))
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}, tmp_path / "memory.safetensors"
    )
    on_disk = key_map.translate(open_checkpoint(folder))
    in_memory = key_map.translate(open_checkpoint(tmp_path / "memory.safetensors"))
    names = on_disk.keys()
    assert set(names) == set(in_memory.keys())
    assert not any(name.startswith(("model.", "class_predictor", "mask_embedder")) for name in names)
    for name in names:
        assert torch.equal(on_disk.tensor(name), in_memory.tensor(name)), name


def test_our_weights_are_written_back_under_the_names_on_disk(saved):
    _, folder, _ = saved
    key_map = MASKFORMER.key_map(json.loads((folder / "config.json").read_text()))
    written = key_map.reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    assert written.keys() <= stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in written.items())
    # What we leave out, the reference computes itself or computes nothing with.
    idle = ("criterion.empty_weight", "relative_position_index", "layernorm", "mask_token", ".stages.3.", "layer.4.")
    assert all(any(part in name for part in idle) for name in stored.keys() - written.keys())
