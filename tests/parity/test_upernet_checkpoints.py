"""UPerNet folders that transformers saved, opened by us: predictions, losses, gradients, segmentations, and back."""

import json

import pytest
import torch
from safetensors.torch import load_file

from backbonekit.assembly.load import load_model
from backbonekit.heads.upernet.checkpoint import UPERNET
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
        "swin": transformers.SwinConfig(
            embed_dim=12, depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4], window_size=4, image_size=64, out_indices=FOUR
        ),
        "convnext": transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], out_indices=FOUR),
        "dinov2": transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=56, patch_size=14, out_indices=FOUR
        ),
        "timm resnet": transformers.TimmBackboneConfig(
            backbone="resnet18", out_indices=FOUR, use_pretrained_backbone=False
        ),
    }


@pytest.fixture(scope="module", params=["resnet", "swin", "convnext", "dinov2", "timm resnet", "no auxiliary"])
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    with_auxiliary = request.param != "no auxiliary"
    config = transformers.UperNetConfig(
        backbone_config=backbones()[request.param if with_auxiliary else "resnet"],
        hidden_size=16,
        pool_scales=[1, 2, 5],
        use_auxiliary_head=with_auxiliary,
        auxiliary_loss_weight=0.3,
        auxiliary_channels=12,
        id2label={0: "sky", 1: "person", 2: "road"},
    )
    model = randomise_weights(transformers.UperNetForSemanticSegmentation(config)).eval()
    folder = tmp_path_factory.mktemp("upernet")
    model.save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 70, "width": 98}).save_pretrained(folder)
    return model, folder


def close(given, expected):
    assert (given - expected).abs().max() / expected.abs().max() < 1e-4


@pytest.mark.parametrize("size", [(131, 87), (64, 96)])
def test_a_saved_folder_has_the_same_predictions(saved, size):
    theirs, folder = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, prediction = theirs(images).logits, ours(images).predictions
    assert prediction.logits.shape == expected.shape == (2, 3, *size)
    close(prediction.logits, expected)
    assert ours.labels.names == ("sky", "person", "road")


def test_losses_and_gradients_are_those_of_the_reference(saved):
    """In double precision and in training: batch norms take the batch's own statistics."""
    theirs, folder = saved
    ours, theirs = load_model(folder).double(), theirs.double()
    images = torch.randn(2, 3, 112, 98, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 112, 98))
    labels[:, :9] = 255
    before = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    try:
        expected = theirs.train()(images, labels=labels).loss
        expected.backward()
        output = ours.train()(images, targets=[{"segmentation": one} for one in labels])
        output.loss.backward()
        torch.testing.assert_close(output.loss, expected, rtol=1e-6, atol=0)
        given = {name: parameter.grad for name, parameter in ours.named_parameters()}
        written = UPERNET.key_map(json.loads((folder / "config.json").read_text())).reverse(
            {name: gradient for name, gradient in given.items() if gradient is not None}
        )
        gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
        assert {name for name in written if name.startswith(("decode_head", "auxiliary_head"))} == {
            name for name in gradients if name.startswith(("decode_head", "auxiliary_head"))
        }
        largest = max(gradient.abs().max() for gradient in gradients.values() if gradient is not None)
        for name, gradient in written.items():
            if name in gradients:
                torch.testing.assert_close(gradient, gradients[name], rtol=1e-5, atol=1e-6 * largest.item(), msg=name)
    finally:
        theirs.load_state_dict(before)
        theirs.float().eval().zero_grad()


def test_segmentations_are_those_of_its_image_processor(saved):
    theirs, folder = saved
    ours = load_model(folder)
    processor = transformers.SegformerImageProcessor.from_pretrained(folder)
    # The first has the size that the processor resizes to; resizing itself differs in the last bits of an image, and
    # then a pixel between two classes may fall either way (0.1 % of this noise were measured).
    sizes = [(70, 98), (60, 80), (91, 45)]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    with torch.no_grad():
        outputs = theirs(**processor(images, return_tensors="pt"))
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
    shares = []
    for result, segmentation in zip(ours.predict(images), expected, strict=True):
        assert result.segmentation.shape == segmentation.shape
        shares.append((result.segmentation == segmentation).double().mean().item())
    assert shares[0] == 1
    assert min(shares) > 0.995


def test_our_weights_are_written_back_under_the_same_names(saved):
    _, folder = saved
    key_map = UPERNET.key_map(json.loads((folder / "config.json").read_text()))
    written = key_map.reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    # Ours has a norm for each map that the backbone can return, theirs for each that it returns.
    assert {name for name in written.keys() - stored.keys() if not name.startswith("backbone.hidden_states_norms")} == (
        set()
    )
    assert all(torch.equal(written[name], stored[name]) for name in written.keys() & stored.keys())
    idle = ("relative_position_index", "layernorm", "mask_token", "num_batches_tracked", ".layer.4.")
    assert all(any(part in name for part in idle) for name in stored.keys() - written.keys())


def test_another_backbone_keeps_the_decoder_where_it_fits(saved):
    _, folder = saved
    model = load_model(folder, ["backbone=timm/resnet18"])
    source = next(source for source in model.weight_report.sources if source.part == "head")
    assert source.loaded > 10
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(model.head.classifier.weight, stored["decode_head.classifier.weight"])
    assert torch.equal(model.head.merge.norm.bias, stored["decode_head.fpn_bottleneck.batch_norm.bias"])


def test_one_label_has_equal_logits_and_is_trained(tmp_path):
    """transformers refuses to train one label, and its argmax over one map is 0 everywhere."""
    config = transformers.UperNetConfig(
        backbone_config=backbones()["resnet"], hidden_size=16, pool_scales=[1, 2], auxiliary_channels=12, num_labels=1
    )
    theirs = randomise_weights(transformers.UperNetForSemanticSegmentation(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close(ours(images).predictions.logits, theirs(images).logits)
    labels = torch.randint(0, 2, (2, 64, 96), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="should be greater than one"):
        theirs(images, labels=labels)
    out = ours(images, None, [{"segmentation": one} for one in labels])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(out.predictions.logits[:, 0], labels.float())
    torch.testing.assert_close(out.losses["cross_entropy"], loss)
    assert ours.scoring() == "sigmoid"
