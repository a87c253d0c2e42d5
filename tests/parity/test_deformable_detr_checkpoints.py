"""Deformable DETR folders that transformers saved, opened by us: predictions, losses, gradients, results; and our
weights written back."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.assembly.load import load_model
from backbonekit.contract.processing import Geometry
from backbonekit.errors import WeightsError
from backbonekit.heads.deformable_detr.checkpoint import DEFORMABLE_DETR
from backbonekit.postprocessing.results import to_results
from backbonekit.weights.checkpoint import open_checkpoint
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import assert_near, gradients_by_our_names, padded_images, random_targets, weighted

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
SMALL_RESNET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
KINDS = {
    "plain": {"auxiliary_loss": True},
    "refined": {"with_box_refine": True, "auxiliary_loss": True},
    "two-stage": {"with_box_refine": True, "two_stage": True, "auxiliary_loss": True},
    "one level": {"num_feature_levels": 1},
    "three levels": {"num_feature_levels": 3, "encoder_n_points": 2},
    "timm": {"with_box_refine": True},
    "swin": {},
}


def backbone_of(kind):
    if kind == "timm":
        return transformers.TimmBackboneConfig(
            backbone="resnet10t", out_indices=[2, 3, 4], use_pretrained_backbone=False
        )
    if kind == "swin":
        return transformers.SwinConfig(
            embed_dim=12,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 3, 4],
            window_size=4,
            image_size=64,
            out_indices=[2, 3, 4],
        )
    indices = {"one level": [4], "three levels": [3, 4]}.get(kind, [2, 3, 4])
    return transformers.ResNetConfig(**SMALL_RESNET, out_indices=indices)


def config_of(kind):
    options = {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "dropout": 0.0,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 48, "num_queries": 7,
        "two_stage_num_proposals": 9, "decoder_n_points": 3, "id2label": {0: "sky", 1: "person", 2: "road"},
        "class_cost": 2, "focal_alpha": 0.3,
    }  # fmt: skip
    return transformers.DeformableDetrConfig(backbone_config=backbone_of(kind), **{**options, **KINDS[kind]})


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    model = randomise_weights(transformers.DeformableDetrForObjectDetection(config_of(request.param))).eval()
    folder = tmp_path_factory.mktemp("deformable_detr")
    model.save_pretrained(folder)
    return model, folder


def table_of(folder):
    return DEFORMABLE_DETR.key_map(json.loads((folder / "config.json").read_text()))


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
    """In double precision; of more boxes than queries, of two and of none. The reference leaves the proposals of two
    stages out of its loss, so here they are too."""
    theirs, folder = saved
    # The reference always computes the positions of proposals in single precision.
    near = 1e-6 if theirs.config.two_stage else 1e-10
    theirs, ours = copy.deepcopy(theirs).double(), load_model(folder).double()
    sizes = [(131, 87), (97, 60) if padded else (131, 87), (131, 87)]
    images, mask = padded_images((131, 87), sizes, torch.float64)
    our_targets, their_targets = random_targets(sizes, (11, 2, 0), 3, torch.float64)
    expected = theirs(images, pixel_mask=mask.long(), labels=their_targets)
    expected.loss.backward()
    given = ours(images, mask, our_targets)
    terms = {name: term for name, term in given.losses.items() if not name.endswith("_proposals")}
    assert (len(terms) < len(given.losses)) == theirs.config.two_stage
    sum(terms.values()).backward()
    compared = weighted(expected.loss_dict, theirs.config)
    assert compared.keys() == terms.keys()
    for name, loss in compared.items():
        assert_near(terms[name], loss, near, name=name)
    assert_near(sum(terms.values()), expected.loss, near)

    if theirs.config.two_stage:
        assert_near(given.predictions.proposals.class_logits, expected.enc_outputs_class, 1e-10)
        assert_near(given.predictions.proposals.boxes_cxcywh, expected.enc_outputs_coord_logits.sigmoid(), 1e-10)
    gradients = gradients_by_our_names(theirs, table_of(folder))
    own = {name: parameter.grad for name, parameter in ours.named_parameters()}
    trained = {name for name, gradient in own.items() if gradient is not None}
    expected_names = {name for name in gradients if not name.startswith("backbone.")}
    # Where all layers share one predictor there, its gradient is the sum of those here.
    assert {name for name in trained if not name.startswith("backbone.")} <= expected_names
    largest = max(gradient.abs().max() for gradient in gradients.values())
    shares_classes = theirs.config.with_box_refine and not theirs.config.two_stage
    for name, gradient in gradients.items():
        # What is zero in theory is rounding noise on both sides: keys' biases, those before a norm.
        if shares_classes and name.startswith("head.class_predictors."):
            rest = name.rpartition(".")[2]
            one = sum(
                own[f"head.class_predictors.{index}.{rest}"] for index in range(3) if index == 2 or len(terms) > 3
            )
        else:
            one = own[name]
        if one is None:  # of the proposals, which take no part in this loss
            assert not gradient.any(), name
            continue
        assert_near(one, gradient, 10 * near, floor=largest * 1e-4, name=name)


def test_results_are_those_of_the_reference(saved):
    theirs, folder = saved
    ours, images = load_model(folder), torch.randn(1, 3, 131, 87)
    geometry = Geometry((262, 174), (131, 87), (0, 0), (131, 87), (131, 87))
    with torch.no_grad():
        expected = transformers.DeformableDetrImageProcessorPil().post_process_object_detection(
            theirs(images), threshold=0.0, target_sizes=[(262, 174)], top_k=5
        )[0]
        prediction = ours(images).predictions
    (given,) = to_results(prediction, [geometry], scoring=ours.head.scoring, threshold=0.0, top_k=5)
    assert len(given.scores) == 5
    assert torch.equal(given.labels, expected["labels"])
    assert_near(given.scores, expected["scores"])
    # Ours are cut to the image.
    boxes = expected["boxes"].clamp(min=0).minimum(torch.tensor([174, 262, 174, 262]))
    assert_near(given.boxes_xyxy, boxes)


def test_names_on_disk_and_in_memory_are_both_read(saved, tmp_path):
    """In memory the predictors that are one stand there several times."""
    theirs, folder = saved
    state = {name: tensor.clone().contiguous() for name, tensor in theirs.state_dict().items()}
    save_file(state, tmp_path / "memory.safetensors")
    on_disk = table_of(folder).translate(open_checkpoint(folder))
    in_memory = table_of(folder).translate(open_checkpoint(tmp_path / "memory.safetensors"))
    assert set(on_disk.keys()) == set(in_memory.keys())
    assert all(name.startswith(("backbone.", "neck.", "head.")) for name in on_disk)
    for name in on_disk:
        assert torch.equal(on_disk.tensor(name), in_memory.tensor(name)), name


def test_our_weights_are_written_back_under_the_names_on_disk(saved):
    _, folder = saved
    written = table_of(folder).reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    assert {name for name in stored if "backbone" not in name} <= written.keys()
    for name, tensor in written.items():
        # The reference's frozen norms have no batch counter, and it has norms only for the maps that it returns.
        if not name.endswith("num_batches_tracked") and "hidden_states_norms" not in name:
            known = stored[name] if name in stored else stored[f"class_embed.0.{name.rpartition('.')[2]}"]
            assert torch.equal(tensor, known), name


def test_another_backbone_keeps_the_head(saved):
    _, folder = saved
    ours, swapped = load_model(folder), load_model(folder, ["backbone=timm/resnet14t"])
    assert swapped.recipe.backbone.name == "resnet14t"
    sources = {source.part: source for source in swapped.weight_report.sources}
    assert sources["backbone"].loaded == 0
    assert not sources["head"].fresh
    before = ours.state_dict()
    for name, tensor in swapped.state_dict().items():
        if name.startswith(("head.", "neck.1.")):
            assert torch.equal(tensor, before[name]), name


def test_predictors_that_should_be_one_and_differ_are_refused(tmp_path):
    model = transformers.DeformableDetrForObjectDetection(config_of("plain"))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["class_embed.2.bias"] = weights["class_embed.0.bias"] + 1
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"'class_embed.2.bias' and 'class_embed.0.bias' are one tensor here and"):
        load_model(tmp_path)


def test_predictors_of_each_layer_are_kept_apart(tmp_path):
    """As in the weights that the authors published."""
    model = randomise_weights(transformers.DeformableDetrForObjectDetection(config_of("refined"))).eval()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for index in (1, 2):
        for name in ("weight", "bias"):
            weights[f"class_embed.{index}.{name}"] = torch.randn_like(weights[f"class_embed.0.{name}"])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    head = load_model(tmp_path).head
    for index in range(3):
        assert torch.equal(head.class_predictors[index].weight, weights[f"class_embed.{index}.weight"])
    memories = {predictor.weight.data_ptr() for predictor in head.class_predictors}
    assert len(memories) == 3
