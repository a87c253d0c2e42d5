"""Hidden states and attention of whole models against transformers with eager attention: names, shapes, values."""

import pytest
import torch

import backbonekit
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import assert_near, padded_images
from tests.parity.test_whole_model_classes import FOUR, MODELS, SWIN, TRANSFORMER, images_for

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
ALWAYS = (
    *("last_hidden_state", "encoder_last_hidden_state", "pixel_decoder_last_hidden_state"),
    "transformer_decoder_last_hidden_state",
)
STATES = (
    *("hidden_states", "encoder_hidden_states", "decoder_hidden_states", "pixel_decoder_hidden_states"),
    "transformer_decoder_hidden_states",
)
WEIGHTS = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")


def detr_with_auxiliary_loss(own):
    return MODELS["detr"](own, auxiliary_loss=True, encoder_layers=2)


def two_stage_deformable_detr(own):
    backbone = own.SwinConfig(**SWIN, out_indices=FOUR[1:])
    options = {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 7, "num_feature_levels": 3}
    return own.DeformableDetrForObjectDetection(
        own.DeformableDetrConfig(backbone_config=backbone, **{**TRANSFORMER, **options})
    )


def upernet_on_swin(own):
    backbone = own.SwinConfig(**SWIN, out_indices=FOUR)
    return own.UperNetForSemanticSegmentation(
        own.UperNetConfig(backbone_config=backbone, hidden_size=16, use_auxiliary_head=False)
    )


EVERY = {
    **MODELS,
    "detr with auxiliary loss": detr_with_auxiliary_loss,
    "two-stage deformable detr": two_stage_deformable_detr,
    "upernet on swin": upernet_on_swin,
}


@pytest.fixture(scope="module", params=EVERY)
def pair(request, tmp_path_factory):
    torch.manual_seed(0)
    theirs = randomise_weights(EVERY[request.param](transformers)).eval()
    folder = tmp_path_factory.mktemp("saved")
    theirs.save_pretrained(folder)
    theirs.set_attn_implementation("eager")
    ours = getattr(backbonekit, type(theirs).__name__).from_pretrained(folder)
    return request.param, theirs, ours


def compare(given, expected, names) -> None:
    assert [name for name in names if name in given] == [name for name in names if name in expected]
    for name in names:
        if name not in expected:
            continue
        ours, theirs = given[name], expected[name]
        if isinstance(theirs, torch.Tensor):
            ours, theirs = [ours], [theirs]
        assert [tuple(one.shape) for one in ours] == [tuple(one.shape) for one in theirs], name
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_near(one, other, name=f"{name} {index}")


def test_states_and_attention_of_a_whole_model(pair):
    name, theirs, ours = pair
    images = images_for(name)
    with torch.no_grad():
        plain = ours(images)
        compare(plain, theirs(images), (*ALWAYS, *STATES, *WEIGHTS))
        given, expected = (model(images, output_hidden_states=True) for model in (ours, theirs))
        compare(given, expected, (*ALWAYS, *STATES, *WEIGHTS))
        assert any(field in given for field in STATES)
        given, expected = (model(images, output_attentions=True) for model in (ours, theirs))
        compare(given, expected, (*ALWAYS, *STATES, *WEIGHTS))
        assert any(field in given for field in WEIGHTS) == (name != "upernet")  # on a convolutional backbone
    assert_near(given[0], plain[0])


@pytest.mark.parametrize("name", ["detr", "deformable detr"])
def test_states_and_attention_of_padded_images(name, tmp_path):
    theirs = randomise_weights(EVERY[name](transformers)).eval()
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")
    ours = getattr(backbonekit, type(theirs).__name__).from_pretrained(tmp_path)
    images, mask = padded_images((131, 87), [(131, 87), (70, 60)])
    requested = {"pixel_mask": mask.long(), "output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        given, expected = ours(images, **requested), theirs(images, **requested)
    compare(given, expected, (*ALWAYS, *STATES, *WEIGHTS))
    if name == "detr":
        assert (given.cross_attentions[0][1, :, :, -1] == 0).all()  # the last position is padding
