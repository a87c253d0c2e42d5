"""ViTPose++ as transformers saves it: experts for the data sets, mirrored images, persons by boxes."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

import backbonekit
from backbonekit.errors import ContractError
from backbonekit.hf_models import AutoImageProcessor
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
SIZE = (64, 48)
PAIRS = torch.tensor([[1, 2]])


def saved_model(folder: Path, **fields):
    backbone = transformers.VitPoseBackboneConfig(
        image_size=list(SIZE), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, out_indices=[2], **fields
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, id2label={0: "nose", 1: "left", 2: "right"})
    model = randomise_weights(transformers.VitPoseForPoseEstimation(config)).eval()
    model.save_pretrained(folder)
    transformers.VitPoseImageProcessorPil(size={"height": SIZE[0], "width": SIZE[1]}).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experts")
    return saved_model(folder, num_experts=3, part_features=10), folder


@pytest.mark.parametrize("pairs", [None, PAIRS])
@pytest.mark.parametrize("index", [[0, 0, 0], [2, 0, 1]])
def test_heatmaps_and_gradients_are_those_of_transformers(experts, index, pairs):
    theirs, folder = experts
    theirs = theirs.double()
    ours = backbonekit.VitPoseForPoseEstimation.from_pretrained(folder).double()
    images, index = torch.randn(3, 3, *SIZE, dtype=torch.float64), torch.tensor(index)
    expected = theirs(images, dataset_index=index, flip_pairs=pairs).heatmaps
    given = ours(images, index, pairs).heatmaps
    torch.testing.assert_close(given, expected, rtol=1e-9, atol=1e-9)
    probe = torch.randn_like(expected)
    for model, heatmaps in ((theirs, expected), (ours, given)):
        model.zero_grad()
        (heatmaps * probe).sum().backward()
    gradients = {name: one.grad for name, one in theirs.named_parameters() if ".experts." in name}
    compared = {name: one.grad for name, one in ours.named_parameters() if ".experts." in name}
    assert len(gradients) == len(compared) == 2 * 2 * 3
    for (name, reference), found in zip(gradients.items(), compared.values(), strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-9, atol=1e-9, msg=name)


def test_the_bare_backbone_is_told_the_data_set(experts):
    theirs, folder = experts
    theirs = theirs.float().backbone
    ours = backbonekit.AutoBackbone.from_pretrained(folder)
    images, index = torch.randn(3, 3, *SIZE), torch.tensor([2, 0, 1])
    with torch.no_grad():
        expected = theirs(images, index, output_hidden_states=True)
        given = ours(images, index, output_hidden_states=True)
    for one, other in zip(given.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    # transformers returns tokens there
    tokens = given.feature_maps[0].flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, expected.feature_maps[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ContractError, match=r"has 3 experts, .*dataset_index="):
        ours(images)


def test_recomputed_blocks_have_the_same_experts(experts):
    _, folder = experts
    ours = backbonekit.VitPoseForPoseEstimation.from_pretrained(folder).train()
    images, index = torch.randn(2, 3, *SIZE), torch.tensor([2, 1])
    gradients = []
    for enabled in (False, True):
        ours.model.backbone.set_gradient_checkpointing(enabled)
        ours.zero_grad()
        ours(images, index).heatmaps.square().sum().backward()
        gradients.append({name: one.grad for name, one in ours.named_parameters() if one.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_it_is_saved_and_opens_again_and_predicts_by_the_first_expert(experts, tmp_path: Path):
    theirs, folder = experts
    ours = backbonekit.VitPoseForPoseEstimation.from_pretrained(folder)
    ours.save_pretrained(tmp_path)
    again = transformers.VitPoseForPoseEstimation.from_pretrained(tmp_path)
    images, index = torch.randn(1, 3, *SIZE), torch.tensor([1])
    with torch.no_grad():
        expected = theirs.float()(images, dataset_index=index).heatmaps
        torch.testing.assert_close(again(images, dataset_index=index).heatmaps, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            backbonekit.load_model(tmp_path)(images).predictions.heatmaps,
            theirs(images, dataset_index=torch.tensor([0])).heatmaps,
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_choice_that_is_missing_or_not_there_is_refused(experts, tmp_path: Path):
    _, folder = experts
    ours, images = backbonekit.VitPoseForPoseEstimation.from_pretrained(folder), torch.randn(2, 3, *SIZE)
    for index, says in (
        (None, "has 3 experts, .*dataset_index=, int64"),
        (torch.tensor([0]), r"\[1\]; int64 \[2\] is expected"),
        (torch.tensor([0, 3]), "must be from 0 to 2"),
    ):
        with pytest.raises(ContractError, match=says):
            ours(images, index)
    saved_model(tmp_path)
    plain = backbonekit.VitPoseForPoseEstimation.from_pretrained(tmp_path)
    with pytest.raises(ContractError, match="and this model has none"):
        plain(images, torch.tensor([0, 0]))
    backbone = backbonekit.AutoBackbone.from_pretrained(tmp_path)
    with pytest.raises(ContractError, match="and this model has none"):
        backbone(images, torch.tensor([0, 0]))
    assert len(backbone(images).feature_maps) == 1


IMAGES = [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) for size in ((90, 120, 3), (60, 70, 3))]
BOXES = [[[20.0, 10.0, 40.0, 70.0], [49.5, 29.5, 69.0, 30.0]], [[-9.0, 5.0, 50.0, 60.5]]]


@pytest.fixture
def processors(tmp_path: Path):
    theirs = transformers.VitPoseImageProcessorPil(size={"height": SIZE[0], "width": SIZE[1]})
    theirs.save_pretrained(tmp_path)
    return theirs, AutoImageProcessor.from_pretrained(tmp_path)


def test_crops_are_those_of_transformers(processors):
    theirs, ours = processors
    expected = theirs(IMAGES, boxes=BOXES, return_tensors="pt")["pixel_values"]
    for given in (ours(IMAGES, boxes=BOXES), ours(IMAGES, BOXES), ours(IMAGES, [np.array(one) for one in BOXES])):
        assert given.pixel_values.shape == expected.shape == (3, 3, *SIZE)
        steps = (given.pixel_values - expected).abs() * 255 * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        # Measured: equal but for one value in 10,000, a half that is rounded the other way, a step of 1/255.
        assert steps.max() <= 1.01
        assert (steps > 0.01).float().mean() < 1e-3


def test_keypoints_are_those_of_transformers(processors):
    theirs, ours = processors
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    centres = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 12.0]) + 2
    across = columns - centres[..., 0, None, None]
    down = rows - centres[..., 1, None, None]
    heatmaps = (-(across**2 + down**2) / 8).exp()
    outputs = backbonekit.hf_models.model_outputs.PoseModelOutput(heatmaps=heatmaps)
    for options in ({}, {"threshold": 0.98}, {"kernel_size": 5}):
        expected = theirs.post_process_pose_estimation(outputs, boxes=BOXES, **options)
        found = ours.post_process_pose_estimation(outputs, boxes=BOXES, **options)
        assert [len(persons) for persons in found] == [len(persons) for persons in expected] == [2, 1]
        for one, other in zip(chain(*found), chain(*expected), strict=True):
            torch.testing.assert_close(one["keypoints"], other["keypoints"].float(), rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(one["scores"], other["scores"].float().reshape(-1))
            assert torch.equal(one["labels"], other["labels"])
    assert found[0][0]["bbox"].tolist() == [20.0, 10.0, 60.0, 80.0]
    relative = [[[x / 120, y / 120, w / 120, h / 120] for x, y, w, h in boxes] for boxes in BOXES]
    sized = ours.post_process_pose_estimation(outputs, relative, target_sizes=[(120, 120)] * 2)
    expected = ours.post_process_pose_estimation(outputs, BOXES)
    torch.testing.assert_close(sized[1][0]["keypoints"], expected[1][0]["keypoints"])


def test_the_published_usage_runs(experts):
    _, folder = experts
    processor, model = (
        AutoImageProcessor.from_pretrained(folder),
        backbonekit.VitPoseForPoseEstimation.from_pretrained(folder),
    )
    inputs = processor(IMAGES[0], boxes=BOXES[:1], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, dataset_index=torch.tensor([0, 0]))
    (persons,) = processor.post_process_pose_estimation(outputs, boxes=BOXES[:1], threshold=-100)
    assert [tuple(person["keypoints"].shape) for person in persons] == [(3, 2), (3, 2)]


def test_boxes_that_are_missing_or_do_not_fit_are_refused(processors):
    _, ours = processors
    for boxes, says in (
        (None, r"cuts out persons: boxes=\[\[\[x, y, width, height\]"),
        (BOXES[:1], "boxes of 1 images for 2"),
        ([[[1, 2, 3]], []], r"boxes\[0\] has the shape \[1, 3\]"),
        ([[[1, 2, 3, 0]], []], "width and height are not above 0"),
        ([["a"], []], "must be numbers"),
    ):
        with pytest.raises(ContractError, match=says):
            ours(IMAGES, boxes=boxes)
    with pytest.raises(ContractError, match="are persons for a ViTPose processor"):
        AutoImageProcessor.from_dict({"image_processor_type": "ViTImageProcessor"})(IMAGES, boxes=BOXES)
    heatmaps = {"heatmaps": torch.rand(2, 3, 16, 12)}
    with pytest.raises(ContractError, match="heatmaps of 2 persons, and 3 boxes"):
        ours.post_process_pose_estimation(heatmaps, BOXES)
    with pytest.raises(ContractError, match="kernel_size=4 must be an odd number"):
        ours.post_process_pose_estimation(heatmaps, BOXES[:1], 4)
