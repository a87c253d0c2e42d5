"""Mask2Former folders that transformers saved, opened by us: predictions, every loss term, every gradient, results."""

import json

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.assembly.load import load_model
from backbonekit.contract.processing import Geometry
from backbonekit.errors import RecipeError
from backbonekit.heads.mask2former.checkpoint import MASK2FORMER
from backbonekit.postprocessing.results import to_results
from backbonekit.weights.checkpoint import open_checkpoint
from tests.draws import fix_draws
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FOUR = [1, 2, 3, 4]
SIZE = (131, 87)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def resnet(indices):
    return transformers.ResNetConfig(
        hidden_sizes=[16, 24, 32, 48], depths=[1] * 4, layer_type="basic", out_indices=indices
    )


def backbones():
    return {
        "resnet": resnet(FOUR),
        "swin": transformers.SwinConfig(
            embed_dim=12, depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4], window_size=4, image_size=64, out_indices=FOUR
        ),
        "dinov2": transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=56, patch_size=14, out_indices=FOUR
        ),
        "timm resnet": transformers.TimmBackboneConfig(
            backbone="resnet18", out_indices=FOUR, use_pretrained_backbone=False
        ),
    }


def configuration(backbone, **changes):
    options = {
        "feature_size": 32,
        "mask_feature_size": 24,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 40,
        "encoder_layers": 2,
        "decoder_layers": 5,
        "num_attention_heads": 4,
        "dim_feedforward": 40,
        "num_queries": 7,
        "train_num_points": 60,
        "id2label": {0: "sky", 1: "person", 2: "road"},
    }
    return transformers.Mask2FormerConfig(backbone_config=backbone, **{**options, **changes})


def reference(config):
    return randomise_weights(transformers.Mask2FormerForUniversalSegmentation(config)).eval()


def assert_near(given, expected, dtype=torch.float32, name=""):
    scale = expected.abs().max().clamp(min=1e-3)
    assert (given - expected).abs().max() / scale < TOLERANCE[dtype], name


@pytest.fixture(scope="module", params=("resnet", "swin", "dinov2", "timm resnet"))
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    model = reference(configuration(backbones()[request.param]))
    folder = tmp_path_factory.mktemp("mask2former")
    model.save_pretrained(folder)
    transformers.Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return model, folder


def example(counts=(4, 0, 9), dtype=torch.float32):
    """Images, and masks of each: some, none, and more than there are queries."""
    masks = [torch.rand(count, *SIZE) > 0.6 for count in counts]
    return torch.randn(len(counts), 3, *SIZE, dtype=dtype), [torch.randint(0, 3, (n,)) for n in counts], masks


def targets_of(labels, masks):
    return [{"labels": one, "masks": other} for one, other in zip(labels, masks, strict=True)]


def test_a_saved_folder_has_the_same_predictions(saved):
    theirs, folder = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        expected, given = theirs(images), ours(images).predictions
    assert_near(given.class_logits, expected.class_queries_logits)
    assert_near(given.mask_logits, expected.masks_queries_logits)
    assert ours.labels.names == ("sky", "person", "road")
    assert ours.processor.processing.shortest_edge == 64
    assert ours.processor.processing.size_divisor == 32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_those_of_the_reference(saved, dtype, monkeypatch, tmp_path):
    _, folder = saved
    theirs = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).to(dtype).eval()
    ours = load_model(folder).to(dtype)
    images, labels, masks = example(dtype=dtype)
    fix_draws(monkeypatch, transformers.models.mask2former.modeling_mask2former, dtype=dtype)
    floats = [mask.to(dtype) for mask in masks]
    expected = theirs(images, mask_labels=floats, class_labels=labels, output_auxiliary_logits=True)
    expected.loss.backward()
    given = ours(images, targets=targets_of(labels, masks))
    given.loss.backward()

    assert len(given.predictions.auxiliary) == len(expected.auxiliary_logits) == 4
    for one, other in zip(given.predictions.auxiliary, expected.auxiliary_logits, strict=True):
        assert_near(one.class_logits, other["class_queries_logits"], dtype)
        assert_near(one.mask_logits, other["masks_queries_logits"], dtype)
    terms = theirs.get_loss_dict(
        expected.masks_queries_logits, expected.class_queries_logits, floats, labels, expected.auxiliary_logits
    )
    renamed = {name.replace("loss_", "").replace("cross_entropy", "class"): loss for name, loss in terms.items()}
    assert renamed.keys() == given.losses.keys()
    for name, loss in renamed.items():
        assert_near(given.losses[name], loss, dtype, name)
    assert_near(given.loss, expected.loss, dtype)

    # By the names on disk: what reads weights reads gradients too.
    key_map = MASK2FORMER.key_map(json.loads((folder / "config.json").read_text()))
    gradients = {
        name: parameter.grad.contiguous() for name, parameter in theirs.named_parameters() if parameter.grad is not None
    }
    save_file(gradients, tmp_path / "gradients.safetensors")
    compared = key_map.translate(open_checkpoint(tmp_path / "gradients.safetensors"))
    largest = max(gradient.abs().max() for gradient in gradients.values())
    parameters = {name: one for name, one in ours.named_parameters() if one.requires_grad}
    assert len(parameters) <= len(compared.keys())
    for name, parameter in parameters.items():
        gradient = compared.tensor(name)
        # What is zero in theory, such as keys' biases, is rounding noise on both sides.
        scale = gradient.abs().max().clamp(min=largest * 1e-2)
        assert (parameter.grad - gradient).abs().max() / scale < TOLERANCE[dtype], name


def test_without_any_mask_the_loss_is_that_of_the_reference(saved, monkeypatch):
    theirs, folder = saved
    ours, (images, labels, masks) = load_model(folder), example(counts=(0, 0))
    fix_draws(monkeypatch, transformers.models.mask2former.modeling_mask2former)
    with torch.no_grad():
        expected = theirs(images, mask_labels=[mask.float() for mask in masks], class_labels=labels).loss
        given = ours(images, targets=targets_of(labels, masks)).loss
    assert_near(given, expected)


def test_names_on_disk_and_in_memory_are_both_read(saved, tmp_path):
    theirs, folder = saved
    key_map = MASK2FORMER.key_map(json.loads((folder / "config.json").read_text()))
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}, tmp_path / "memory.safetensors"
    )
    on_disk = key_map.translate(open_checkpoint(folder))
    in_memory = key_map.translate(open_checkpoint(tmp_path / "memory.safetensors"))
    names = on_disk.keys()
    assert set(names) == set(in_memory.keys())
    assert not any(name.startswith(("model.", "class_predictor")) for name in names)
    for name in names:
        assert torch.equal(on_disk.tensor(name), in_memory.tensor(name)), name


def test_our_weights_are_written_back_under_the_names_on_disk(saved):
    _, folder = saved
    key_map = MASK2FORMER.key_map(json.loads((folder / "config.json").read_text()))
    written = key_map.reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    # The norm of a map that is not used: we build it, the reference does not.
    unused = {name for name in written if "hidden_states_norms.stem" in name}
    assert written.keys() - unused <= stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in written.items() if name not in unused)
    # What we leave out, the reference computes itself or computes nothing with.
    idle = ("criterion.empty_weight", "relative_position_index", "layernorm", "mask_token", "layer.4.")
    assert all(any(part in name for part in idle) for name in stored.keys() - written.keys())


def test_another_backbone_keeps_the_rest(saved):
    _, folder = saved
    loaded = load_model(folder)
    swapped = load_model(folder, ["backbone=timm/resnet14t", "backbone.args={channels: [8,16,24,32]}"])
    sources = {source.part: source for source in swapped.weight_report.sources}
    assert sources["backbone"].loaded == 0
    assert sources["head"].loaded == sources["head"].parameters
    for name, tensor in loaded.head.state_dict().items():
        assert torch.equal(tensor, swapped.head.state_dict()[name]), name
    with torch.no_grad():
        assert swapped(torch.randn(1, 3, *SIZE)).predictions.mask_logits.isfinite().all()


@pytest.mark.parametrize(
    ("indices", "changes"),
    [
        (FOUR, {"common_stride": 8}),
        ([2, 3, 4], {"common_stride": 8}),
        ([0, 1, 2, 3], {}),  # strides 4, 4, 8, 16: taken as they are
        (FOUR, {"feature_size": 64, "enforce_input_projection": True, "activation_function": "gelu"}),
        (FOUR, {"hidden_dim": 48, "dropout": 0.1, "num_labels": 5, "id2label": None}),
        (FOUR, {"decoder_layers": 1}),
    ],
)
def test_other_configurations_give_the_same_predictions(indices, changes, tmp_path):
    theirs = reference(configuration(resnet(indices), **changes))
    theirs.save_pretrained(tmp_path)
    ours, images = load_model(tmp_path), torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        expected, given = theirs(images), ours(images).predictions
    assert_near(given.class_logits, expected.class_queries_logits)
    assert_near(given.mask_logits, expected.masks_queries_logits)


@pytest.mark.parametrize(
    ("indices", "changes", "message"),
    [
        ([2, 3, 4], {}, "it returns 3 maps .* which must not overlap"),
        ([0, 1, 2, 3, 4], {}, "reads neighbours only"),
        (FOUR, {"pre_norm": True}, "pre_norm=True is not supported"),
        (FOUR, {"common_stride": 16}, "another common_stride"),
    ],
)
def test_what_cannot_be_built_is_refused(indices, changes, message):
    config = configuration(resnet(indices), **changes).to_dict()
    with pytest.raises(RecipeError, match=message):
        MASK2FORMER.recipe(config)


@pytest.fixture
def at_their_own_size(monkeypatch):
    """Their post-processing brings every mask to 384 x 384 first, whatever the image. Without that detour."""
    module = transformers.models.mask2former.image_processing_mask2former
    interpolate = torch.nn.functional.interpolate

    def without_detour(maps, size=None, **named):
        return maps if size == (384, 384) else interpolate(maps, size=size, **named)

    monkeypatch.setattr(module.torch.nn.functional, "interpolate", without_detour)
    return module.Mask2FormerImageProcessor()


def test_results_are_those_of_the_reference(saved, at_their_own_size):
    theirs, folder = saved
    ours = load_model(folder)
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected, given = theirs(images), ours(images).predictions
    # Sharper, so that some scores pass the thresholds.
    for logits in (expected.class_queries_logits, given.class_logits):
        logits *= 6
        logits[..., -1] -= 20
    grid = tuple(given.mask_logits.shape[-2:])
    geometries = [Geometry(grid, grid, (0, 0), grid, grid)] * 2
    sizes = [grid] * 2

    semantic = at_their_own_size.post_process_semantic_segmentation(expected, target_sizes=sizes)
    for result, segmentation in zip(
        to_results(given, geometries, scoring="softmax_with_null", task="semantic"), semantic, strict=True
    ):
        assert torch.equal(result.segmentation, segmentation)

    instance = at_their_own_size.post_process_instance_segmentation(
        expected, target_sizes=sizes, return_binary_maps=True, threshold=0.1
    )
    results = to_results(given, geometries, scoring="softmax_with_null", task="instance", threshold=0.1)
    for result, other in zip(results, instance, strict=True):
        infos = other["segments_info"]
        order = numpy.argsort([-info["score"] for info in infos])
        assert len(order) > 1
        assert result.labels.tolist() == [infos[index]["label_id"] for index in order]
        numpy.testing.assert_allclose(result.scores, [infos[index]["score"] for index in order], atol=1e-5)
        assert torch.equal(result.masks, other["segmentation"][order.tolist()].bool())

    panoptic = at_their_own_size.post_process_panoptic_segmentation(
        expected, target_sizes=sizes, threshold=0.1, overlap_mask_area_threshold=0.05, label_ids_to_fuse=set()
    )
    results = to_results(
        given, geometries, scoring="softmax_with_null", task="panoptic", threshold=0.1, overlap_threshold=0.05
    )
    for result, other in zip(results, panoptic, strict=True):
        assert torch.equal(result.segmentation, other["segmentation"].long())
        assert [one.label for one in result.segments] == [info["label_id"] for info in other["segments_info"]]
