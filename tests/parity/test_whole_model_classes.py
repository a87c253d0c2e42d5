"""Whole models: a script for transformers runs here with only its import changed, with the same results."""

import dataclasses

import pytest
import torch

import backbonekit
from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.contract.option_schema import plain
from backbonekit.heads.shared_checkpoint.fields import BACKBONE_FIELDS
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import assert_near, padded_images, random_targets

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
THREE, FOUR = [2, 3, 4], [1, 2, 3, 4]
NAMES = {0: "sky", 1: "person", 2: "road"}
RESNET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
SWIN = {"embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4, "image_size": 64}
DINOV2 = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
TRANSFORMER = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4, "dropout": 0.0,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 48, "num_queries": 7, "id2label": NAMES,
}  # fmt: skip
REAL_TIME = {
    **TRANSFORMER, "encoder_hidden_dim": 32, "decoder_in_channels": [32] * 3, "encoder_in_channels": [16, 24, 32],
    "num_queries": 9, "num_denoising": 5, "freeze_backbone_batch_norms": False,
}  # fmt: skip


def detr(own, **changes):
    backbone = own.ResNetConfig(**RESNET, out_indices=FOUR)
    return own.DetrForObjectDetection(own.DetrConfig(backbone_config=backbone, **{**TRANSFORMER, **changes}))


def detr_on_timm(own):
    backbone = own.TimmBackboneConfig(backbone="resnet18", out_indices=FOUR, use_pretrained_backbone=False)
    return own.DetrForObjectDetection(own.DetrConfig(backbone_config=backbone, **TRANSFORMER))


def deformable_detr(own):
    backbone = own.ResNetConfig(**RESNET, out_indices=THREE)
    options = {**TRANSFORMER, "encoder_n_points": 2, "decoder_n_points": 2, "with_box_refine": True}
    return own.DeformableDetrForObjectDetection(own.DeformableDetrConfig(backbone_config=backbone, **options))


def rt_detr(own, version=""):
    small = {**RESNET, "embedding_size": 8}
    backbone = own.RTDetrResNetConfig(**small, out_indices=THREE)
    config = getattr(own, f"RTDetr{version}Config")(backbone_config=backbone, **REAL_TIME)
    return getattr(own, f"RTDetr{version}ForObjectDetection")(config)


def d_fine(own):
    backbone = own.HGNetV2Config(
        embedding_size=8, stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 24], stage_mid_channels=[4, 4, 8, 8],
        stage_out_channels=[8, 16, 24, 32], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], out_indices=THREE,
    )  # fmt: skip
    options = {**REAL_TIME, "lqe_hidden_dim": 8, "max_num_bins": 8, "depth_mult": 0.34, "hidden_expansion": 0.5}
    return own.DFineForObjectDetection(own.DFineConfig(backbone_config=backbone, **options))


def mask2former(own):
    backbone = own.SwinConfig(**SWIN, out_indices=FOUR)
    options = {
        "feature_size": 32, "mask_feature_size": 24, "hidden_dim": 32, "encoder_feedforward_dim": 40,
        "encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 4, "dim_feedforward": 48,
        "num_queries": 7, "id2label": NAMES, "train_num_points": 60,
    }  # fmt: skip
    config = own.Mask2FormerConfig(backbone_config=backbone, **options)
    return own.Mask2FormerForUniversalSegmentation(config)


DECODER = {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 40, "num_queries": 7}


def maskformer(own, backbone=None):
    config = own.MaskFormerConfig(
        backbone_config=backbone or own.SwinConfig(**SWIN, out_indices=FOUR),
        decoder_config={"model_type": "detr", **DECODER},
        fpn_feature_size=32,
        mask_feature_size=24,
        id2label=NAMES,
    )
    return own.MaskFormerForInstanceSegmentation(config)


def upernet(own):
    backbone = own.ResNetConfig(**RESNET, out_indices=FOUR)
    config = own.UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_channels=8, auxiliary_in_channels=24, id2label=NAMES
    )
    return own.UperNetForSemanticSegmentation(config)


DEPTH = {"neck_hidden_sizes": [6, 8, 10, 12], "reassemble_factors": [4, 2, 1, 0.5], "fusion_hidden_size": 16}


def dpt(own):
    backbone = own.Dinov2Config(**DINOV2, out_indices=FOUR, reshape_hidden_states=False)
    return own.DPTForDepthEstimation(own.DPTConfig(backbone_config=backbone, **DEPTH))


def depth_anything(own):
    backbone = own.Dinov2Config(**DINOV2, out_indices=FOUR, reshape_hidden_states=False)
    config = own.DepthAnythingConfig(backbone_config=backbone, head_hidden_size=6, reassemble_hidden_size=24, **DEPTH)
    return own.DepthAnythingForDepthEstimation(config)


def vitpose(own):
    backbone = own.VitPoseBackboneConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=[64, 48], out_indices=[2]
    )
    return own.VitPoseForPoseEstimation(own.VitPoseConfig(backbone_config=backbone, num_labels=3))


BOXES = {
    "detr": detr,
    "detr on timm": detr_on_timm,
    "deformable detr": deformable_detr,
    "rt-detr": rt_detr,
    "rt-detr v2": lambda own: rt_detr(own, "V2"),
    "d-fine": d_fine,
}
OTHERS = {
    "maskformer": maskformer,
    "maskformer on resnet": lambda own: maskformer(own, own.ResNetConfig(**RESNET, out_indices=FOUR)),
    "mask2former": mask2former,
    "upernet": upernet,
    "dpt": dpt,
    "depth anything": depth_anything,
    "vitpose": vitpose,
}
MODELS = {**BOXES, **OTHERS}
PREDICTIONS = ("logits", "pred_boxes", "class_queries_logits", "masks_queries_logits", "predicted_depth", "heatmaps")


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    """transformers' model, its folder, and ours of that folder by the same class name."""
    torch.manual_seed(0)
    theirs = randomise_weights(MODELS[request.param](transformers)).eval()
    folder = tmp_path_factory.mktemp("saved")
    theirs.save_pretrained(folder)
    ours = getattr(backbonekit, type(theirs).__name__).from_pretrained(folder)
    return request.param, theirs, folder, ours


def images_for(name):
    """Of any size, where transformers' model takes one: its hybrid encoders fail on sides that 32 does not divide."""
    fixed = {"vitpose": (64, 48), "rt-detr": (96, 128), "rt-detr v2": (96, 128), "d-fine": (96, 128)}
    return torch.randn(2, 3, *fixed.get(name, (131, 87)))


def compare(given, expected):
    compared = [name for name in PREDICTIONS if name in expected]
    assert compared
    for name in compared:
        assert_near(given[name], expected[name], name=name)


def test_a_saved_folder_has_the_same_outputs_by_the_same_names(pair):
    name, theirs, _, ours = pair
    images = images_for(name)
    with torch.no_grad():
        compare(ours(images), theirs(images))
    assert not ours.training


def test_a_folder_that_was_saved_here_is_read_by_transformers(pair, tmp_path):
    name, theirs, _, ours = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    images = images_for(name)
    with torch.no_grad():
        compare(ours(images), again.eval()(images))
        compare(type(ours).from_pretrained(tmp_path)(images), theirs(images))


def test_configurations_are_equal(pair):
    _, theirs, folder, ours = pair
    config = type(ours.config).from_pretrained(folder)
    assert config == ours.config
    assert config.recipe().head == ours.model.recipe.head
    assert type(config).from_dict(config.to_dict()) == config
    compared = 0
    for field in vars(config):
        expected = getattr(theirs.config, field, None)
        if field == "decoder_config" and expected is not None:
            assert all(getattr(config.decoder_config, name) == getattr(expected, name) for name in DECODER)
            continue
        if field == "dtype":
            assert str(config.dtype) == f"torch.{expected}".replace("torch.torch.", "torch.")
        elif expected is not None and field not in BACKBONE_FIELDS:
            assert plain(getattr(config, field)) == plain(expected), field
            compared += 1
    assert compared >= 4
    if getattr(theirs.config, "id2label", None) and config.num_labels == theirs.config.num_labels:
        assert config.id2label == theirs.config.id2label


@pytest.mark.parametrize("name", MODELS)
def test_a_script_with_the_import_changed_builds_the_same_model(name):
    ours, theirs = MODELS[name](backbonekit), MODELS[name](transformers).eval()
    images = images_for(name)
    with torch.no_grad():
        given, expected = ours(images), theirs(images)
    names = [name for name in PREDICTIONS if name in expected]
    assert names
    for name in names:
        assert given[name].shape == expected[name].shape


@pytest.mark.parametrize("name", MODELS)
def test_every_field_of_transformers_is_one_here_with_its_default(name):
    config = type(MODELS[name](backbonekit).config)
    ours = {item.name: item.default for item in dataclasses.fields(config)}
    theirs = dataclasses.fields(getattr(transformers, config.__name__))
    compared = 0
    for item in theirs:
        if item.name in GENERIC_FIELDS and item.name not in ours:
            continue
        assert item.name in ours, item.name
        assert plain(ours[item.name]) == plain(item.default), item.name
        compared += 1
    assert compared >= 4


@pytest.mark.parametrize("name", ["detr", "deformable detr"])
def test_loss_of_a_detector(name, tmp_path):
    theirs = randomise_weights(MODELS[name](transformers)).eval()
    theirs.save_pretrained(tmp_path)
    ours = getattr(backbonekit, type(theirs).__name__).from_pretrained(tmp_path)
    sizes = [(131, 87), (97, 60)]
    images, mask = padded_images((131, 87), sizes)
    _, labels = random_targets(sizes, (3, 0), 3)
    given, expected = ours(images, mask.long(), labels=labels), theirs(images, pixel_mask=mask.long(), labels=labels)
    assert_near(given.loss, expected.loss)
    assert_near(sum(given.loss_dict.values()), given.loss)
    given.loss.backward()


def test_results_of_the_processor_are_those_of_transformers(tmp_path):
    theirs = randomise_weights(detr(transformers)).eval()
    theirs.save_pretrained(tmp_path)
    transformers.DetrImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 90}).save_pretrained(tmp_path)
    ours = backbonekit.DetrForObjectDetection.from_pretrained(tmp_path)
    processor = backbonekit.AutoImageProcessor.from_pretrained(tmp_path)
    reference = transformers.DetrImageProcessorPil.from_pretrained(tmp_path)
    image = torch.randint(0, 255, (3, 100, 80), dtype=torch.uint8)
    with torch.no_grad():
        found = processor.post_process_object_detection(ours(**processor(image)), 0.1, [(100, 80)])[0]
        inputs = reference(image, return_tensors="pt")
        expected = reference.post_process_object_detection(theirs(**inputs), 0.1, [(100, 80)])[0]
    order = expected["scores"].argsort(descending=True)
    assert len(order)
    assert_near(found["scores"].sort(descending=True).values, expected["scores"][order], 1e-3)
