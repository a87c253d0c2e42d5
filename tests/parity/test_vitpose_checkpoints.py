"""ViTPose folders that transformers saved, opened by us: heatmaps, gradients, keypoints of persons in images."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backbonekit.assembly.load import load_model
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import Heatmaps
from backbonekit.heads.vitpose.checkpoint import VITPOSE
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
]
SIZE = (64, 48)
NAMES = {0: "nose", 1: "left_eye", 2: "right_eye"}
MODELS = {
    "simple": {},
    "simple, twice as fine": {"scale_factor": 2},
    "classic": {"use_simple_decoder": False},
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    backbone = transformers.VitPoseBackboneConfig(
        image_size=list(SIZE), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, out_indices=[2]
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, id2label=NAMES, **MODELS[request.param])
    model = randomise_weights(transformers.VitPoseForPoseEstimation(config)).eval()
    folder = tmp_path_factory.mktemp("vitpose")
    model.save_pretrained(folder)
    transformers.VitPoseImageProcessor(size={"height": SIZE[0], "width": SIZE[1]}).save_pretrained(folder)
    return model, folder


def test_a_saved_folder_has_the_same_heatmaps(saved):
    theirs, folder = saved
    ours = load_model(folder)
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        expected, given = theirs(images).heatmaps, ours(images).predictions.heatmaps
    assert given.shape == expected.shape
    assert (given - expected).abs().max() / expected.abs().max() < 1e-4
    assert ours.labels.names == tuple(NAMES.values())
    assert ours.processor.processing.size == SIZE


def test_gradients_are_those_of_the_reference(saved):
    """transformers has no loss for heatmaps: ours is computed on both predictions."""
    theirs, folder = saved
    theirs, ours = theirs.double(), load_model(folder).double()
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    targets = [{"keypoints": torch.rand(1, 3, 3) * 40 + 1} for _ in range(2)]
    ours(images, targets=targets).loss.backward()
    ours.criterion(Heatmaps(theirs(images).heatmaps), targets, Canvas(SIZE))["heatmap"].backward()
    key_map = VITPOSE.key_map(json.loads((folder / "config.json").read_text()))
    gradients = key_map.reverse({name: one.grad for name, one in ours.named_parameters()})
    compared = {name: one.grad for name, one in theirs.named_parameters() if one.grad is not None}
    largest = max(one.abs().max() for one in compared.values())
    assert gradients.keys() == compared.keys()
    for name, reference in compared.items():
        difference = (gradients[name] - reference).abs().max()
        assert difference / reference.abs().max().clamp(min=1e-3 * largest) < 1e-10, name
    theirs.float().zero_grad()


def test_our_weights_are_written_back_under_their_names(saved):
    _, folder = saved
    key_map = VITPOSE.key_map(json.loads((folder / "config.json").read_text()))
    written = key_map.reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    assert written.keys() == stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in written.items())


def test_persons_are_those_of_transformers(saved):
    """From an image and boxes to keypoints; transformers counts pixels from their centres."""
    theirs, folder = saved
    ours = load_model(folder)
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = torch.tensor([[20.0, 10.0, 60.0, 80.0], [50.0, 30.0, 119.0, 60.0]])
    coco = [[[left - 0.5, top - 0.5, right - left, bottom - top] for left, top, right, bottom in boxes.tolist()]]
    processor = transformers.VitPoseImageProcessor(size={"height": SIZE[0], "width": SIZE[1]})
    with torch.no_grad():
        outputs = theirs(**processor(image, boxes=coco, return_tensors="pt"))
    (persons,) = processor.post_process_pose_estimation(outputs, boxes=coco)
    (results,) = ours.predict(image, boxes=boxes)
    assert len(results) == len(persons) == 2
    equal = 0
    for result, person in zip(results, persons, strict=True):
        torch.testing.assert_close(result.scores, person["scores"].float(), rtol=0, atol=0.01)
        found = result.scores > 0
        assert torch.equal(result.keypoints.isfinite().all(dim=1), found)
        distance = (result.keypoints - 0.5 - person["keypoints"]).norm(dim=1)[found]
        # From a position that is no maximum of the smoothed map, the reference may move far; ours stays on its cell.
        assert ((distance < 0.01) | (distance > 10)).all()
        equal += int((distance < 0.01).sum())
    assert equal >= 4


def test_another_backbone_keeps_the_head(saved):
    _, folder = saved
    ours = load_model(folder)
    swapped = load_model(folder, ["backbone=timm/vit_tiny_patch16_224", "backbone.args={embed_dim: 24, num_heads: 2}"])
    for name, tensor in ours.head.state_dict().items():
        assert torch.equal(swapped.head.state_dict()[name], tensor), name
