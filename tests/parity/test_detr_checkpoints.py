"""DETR folders that transformers saved, opened by us: predictions, losses, gradients, results; and our weights written
back."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.assembly.load import load_model
from backbonekit.contract.processing import Geometry
from backbonekit.heads.detr.checkpoint import DETR
from backbonekit.ops.boxes import cxcywh_to_xyxy
from backbonekit.postprocessing.results import to_results
from backbonekit.weights.checkpoint import open_checkpoint
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import (
    assert_near,
    gradients_by_our_names,
    padded_images,
    random_targets,
    weighted,
)

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
FOUR = [1, 2, 3, 4]
SMALL_RESNET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}


def backbones():
    return {
        "resnet": transformers.ResNetConfig(**SMALL_RESNET, out_indices=FOUR),
        "resnet, last map": transformers.ResNetConfig(**SMALL_RESNET, out_features=["stage4"]),
        "swin": transformers.SwinConfig(
            embed_dim=12, depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4], window_size=4, image_size=64, out_indices=FOUR
        ),
        "dinov2": transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14, out_indices=[3]
        ),
        "timm resnet": transformers.TimmBackboneConfig(
            backbone="resnet10t", out_indices=FOUR, use_pretrained_backbone=False
        ),
    }


NAMES = ("resnet", "swin", "dinov2", "timm resnet")


def config_of(backbone, **changes):
    options = {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "dropout": 0.0,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 48, "num_queries": 7,
        "id2label": {0: "sky", 1: "person", 2: "road"}, "class_cost": 2, "eos_coefficient": 0.2,
    }  # fmt: skip
    return transformers.DetrConfig(backbone_config=backbones()[backbone], **{**options, **changes})


@pytest.fixture(scope="module", params=[*((name, False) for name in NAMES), ("resnet", True)], ids=str)
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    backbone, auxiliary = request.param
    model = randomise_weights(transformers.DetrForObjectDetection(config_of(backbone, auxiliary_loss=auxiliary))).eval()
    folder = tmp_path_factory.mktemp("detr")
    model.save_pretrained(folder)
    return model, folder


@pytest.mark.parametrize("padded", [False, True])
def test_a_saved_folder_has_the_same_predictions(saved, padded):
    theirs, folder = saved
    ours = load_model(folder)
    images, mask = padded_images((131, 87), [(131, 87), (97, 60) if padded else (131, 87)])
    with torch.no_grad():
        expected, given = theirs(images, pixel_mask=mask.long()), ours(images, mask).predictions
    assert_near(given.class_logits, expected.logits)
    assert_near(given.boxes_cxcywh, expected.pred_boxes)
    assert ours.labels.names == ("sky", "person", "road")


@pytest.mark.parametrize("padded", [False, True])
def test_losses_and_gradients_are_those_of_the_reference(saved, padded):
    """In double precision; of more boxes than queries, of two and of none."""
    theirs, folder = saved
    theirs, ours = copy.deepcopy(theirs).double(), load_model(folder).double()
    sizes = [(131, 87), (97, 60) if padded else (131, 87), (131, 87)]
    images, mask = padded_images((131, 87), sizes, torch.float64)
    our_targets, their_targets = random_targets(sizes, (9, 2, 0), 3, torch.float64)
    torch.set_default_dtype(torch.float64)  # of the reference's table of class weights
    try:
        expected = theirs(images, pixel_mask=mask.long(), labels=their_targets)
        expected.loss.backward()
    finally:
        torch.set_default_dtype(torch.float32)
    given = ours(images, mask, our_targets)
    given.loss.backward()
    compared = weighted(expected.loss_dict, theirs.config)
    assert compared.keys() == given.losses.keys()
    for name, loss in compared.items():
        assert_near(given.losses[name], loss, 1e-10, name=name)
    assert_near(given.loss, expected.loss, 1e-10)

    key_map = DETR.key_map(json.loads((folder / "config.json").read_text()))
    gradients = gradients_by_our_names(theirs, key_map)
    assert sum(name.startswith("head.") for name in gradients) == sum(1 for _ in ours.head.parameters())
    assert sum(name.startswith("neck.") for name in gradients) == sum(1 for _ in ours.neck.parameters())
    own = {name: parameter.grad for name, parameter in ours.named_parameters()}
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        # What is zero in theory is rounding noise on both sides: keys' biases, how the first layer weighs zeros.
        if own[name] is None:  # of a feature map that is not used
            assert not gradient.any(), name
            continue
        assert_near(own[name], gradient, 1e-9, floor=largest * 1e-4, name=name)


def test_results_are_those_of_the_reference(saved):
    theirs, folder = saved
    ours, images = load_model(folder), torch.randn(1, 3, 131, 87)
    geometry = Geometry((262, 174), (131, 87), (0, 0), (131, 87), (131, 87))
    with torch.no_grad():
        expected = transformers.DetrImageProcessorPil().post_process_object_detection(
            theirs(images), threshold=0.0, target_sizes=[(262, 174)]
        )[0]
        prediction = ours(images).predictions
    (given,) = to_results(prediction, [geometry], scoring=ours.head.scoring, threshold=0.0)
    order = expected["scores"].argsort(descending=True)
    assert len(given.scores)
    assert torch.equal(given.labels, expected["labels"][order])
    assert_near(given.scores, expected["scores"][order])
    # Ours are cut to the image.
    limits = torch.tensor([174, 262, 174, 262])
    boxes = expected["boxes"][order].clamp(min=0).minimum(limits)
    assert_near(given.boxes_xyxy, boxes)


def test_names_on_disk_and_in_memory_are_both_read(saved, tmp_path):
    theirs, folder = saved
    key_map = DETR.key_map(json.loads((folder / "config.json").read_text()))
    save_file({name: one.contiguous() for name, one in theirs.state_dict().items()}, tmp_path / "memory.safetensors")
    on_disk = key_map.translate(open_checkpoint(folder))
    in_memory = key_map.translate(open_checkpoint(tmp_path / "memory.safetensors"))
    assert set(on_disk.keys()) == set(in_memory.keys())
    assert all(name.startswith(("backbone.", "neck.", "head.")) for name in on_disk.keys())  # noqa: SIM118
    for name in on_disk.keys():  # noqa: SIM118
        assert torch.equal(on_disk.tensor(name), in_memory.tensor(name)), name


def test_our_weights_are_written_back_under_the_names_on_disk(saved):
    _, folder = saved
    key_map = DETR.key_map(json.loads((folder / "config.json").read_text()))
    written = key_map.reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    assert {name for name in stored if name.startswith(("model.encoder", "model.decoder"))} <= written.keys()
    for name, tensor in written.items():
        # The reference's frozen norms have no batch counter, and it has norms only for the maps that it returns.
        if not name.endswith("num_batches_tracked") and "hidden_states_norms" not in name:
            assert torch.equal(tensor, stored[name]), name


def test_another_backbone_keeps_the_rest(saved):
    _, folder = saved
    ours, swapped = load_model(folder), load_model(folder, ["backbone=timm/resnet14t"])
    assert swapped.recipe.backbone.name == "resnet14t"
    sources = {source.part: source for source in swapped.weight_report.sources}
    assert sources["backbone"].loaded == 0
    assert not sources["head"].fresh
    before = ours.state_dict()
    for name, tensor in swapped.state_dict().items():
        if name.startswith("head.") or name.startswith("neck.0.layers."):
            assert torch.equal(tensor, before[name]), name


def test_freezing_is_the_papers(saved):
    """What transformers means to freeze: norms everywhere, stem and first stage of a ResNet."""
    theirs, folder = saved
    is_resnet = "resnet" in theirs.config.backbone_config.model_type or "resnet" in str(
        getattr(theirs.config.backbone_config, "backbone", "")
    )
    assert load_model(folder).recipe.to_dict()["training"] == {"freeze": {"stages": 2 * is_resnet, "norms": True}}


def test_the_processing_of_the_folder_is_read(tmp_path):
    transformers.DetrForObjectDetection(config_of("resnet, last map")).save_pretrained(tmp_path)
    transformers.DetrImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 90}).save_pretrained(tmp_path)
    processing = load_model(tmp_path).processor.processing
    assert (processing.shortest_edge, processing.longest_edge) == (60, 90)


def test_a_configuration_of_the_first_releases_is_read():
    """As on the Hub beside the published weights: the backbone by name alone."""
    recipe = DETR.recipe({"backbone": "resnet50", "use_timm_backbone": True, "backbone_config": None, "num_labels": 91})
    assert (recipe["backbone"]["source"], recipe["backbone"]["name"]) == ("timm", "resnet50")
    assert recipe["backbone"]["out_indices"] == [1, 2, 3, 4]
    dilated = DETR.recipe({"backbone": "resnet50", "dilation": True})
    assert dilated["backbone"]["args"] == {"output_stride": 16}


def test_boxes_of_a_padded_image_come_back_in_its_own_pixels(tmp_path):
    """Our boxes are relative to the image without padding. The reference multiplies them by a size that it is given,
    although its labels may be relative to the padded image."""
    theirs = randomise_weights(transformers.DetrForObjectDetection(config_of("resnet, last map")))
    theirs.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    sizes = [(131, 87), (96, 64)]
    images, mask = padded_images((131, 87), sizes)
    with torch.no_grad():
        prediction = model(images, mask).predictions
    geometries = [Geometry((3 * h, 2 * w), (h, w), (0, 0), (h, w), (131, 87)) for h, w in sizes]
    results = to_results(prediction, geometries, scoring=model.head.scoring, threshold=0.0)
    for index, (result, (height, width)) in enumerate(zip(results, sizes, strict=True)):
        pixels = torch.tensor([2 * width, 3 * height] * 2)
        boxes = (cxcywh_to_xyxy(prediction.boxes_cxcywh[index]) * pixels).clamp(min=0).minimum(pixels)
        order = prediction.class_logits[index].softmax(-1)[:, :-1].amax(-1).argsort(descending=True)
        assert_near(result.boxes_xyxy, boxes[order])
