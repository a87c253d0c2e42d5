"""A model refuses targets that it would learn nothing from, and images that nobody prepared."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import backbonekit as bk
from backbonekit.errors import ContractError
from tests.assembly.recipes import RESNET

SIZE = (64, 96)
BOX = {"boxes": torch.tensor([[8.0, 8, 40, 50]]), "labels": torch.tensor([1])}
PIXELS = {"segmentation": torch.zeros(SIZE, dtype=torch.int64)}


@pytest.fixture(scope="module")
def detector():
    neck = {"name": "fpn", "channels": 16, "num_extra_levels": 2}
    return bk.build_model({"backbone": RESNET, "neck": neck, "head": {"name": "fcos", "num_classes": 3}}).train()


def images(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"bbox": BOX["boxes"], "labels": BOX["labels"]}, r"fcos reads boxes .* and labels; 'bbox' is not read"),
        ({"labels": BOX["labels"], "masks": torch.ones(1, *SIZE).bool()}, "has labels and no boxes"),
        (PIXELS, "none of the 1 targets has what the model learns from"),
        ({**BOX, "boxes": torch.tensor([[0.1, 0.1, 0.5, 0.5]])}, "relative"),
        ({**BOX, "boxes": torch.tensor([[900.0, 900, 950, 950]])}, "outside its image of 64 x 96"),
        ({**BOX, "boxes": np.zeros((1, 4))}, "ndarray"),
    ],
)
def test_a_loss_of_nothing_is_an_error(detector, target, says) -> None:
    with pytest.raises(ContractError, match=says):
        detector(images(), targets=[target])


def test_one_image_without_ground_truth_and_keys_of_other_tasks_are_legal(detector) -> None:
    losses = detector(images(2), targets=[{**BOX, **PIXELS, "image_id": torch.tensor(3)}, {}]).losses
    assert all(loss > 0 for loss in losses.values())


def test_the_processor_knows_what_is_read(detector) -> None:
    image = np.zeros((50, 70, 3), np.uint8)
    with pytest.raises(ContractError, match="fcos reads boxes"):
        detector.processor([image], [{"bbox": [[1, 2, 3, 4]], "labels": [1]}])
    polygon = [[8, 8, 40, 8, 40, 40, 8, 40]]
    annotations = [{"bbox": [8, 8, 32, 32], "category_id": 1, "segmentation": polygon}]
    batch = detector.processor([image], [{"image_id": 5, "annotations": annotations}])
    assert set(batch["targets"][0]) == {"boxes", "labels"}  # no masks, which this model does not read
    assert detector(**batch).loss > 0


@pytest.mark.parametrize(
    "given", [np.zeros((1, 3, 64, 64), np.float32), [Image.new("RGB", (64, 64))], torch.zeros(1, 3, 64, 64).byte(), "x"]
)
def test_images_that_nothing_prepared_are_refused(detector, given) -> None:
    for takes in (detector, detector.backbone):
        with pytest.raises(ContractError, match=r"normalised float tensor .* model\.predict\(images\)"):
            takes(given)


def test_a_loss_of_ones_own_declares_its_keys(detector) -> None:
    class Constant(nn.Module):
        def forward(self, prediction, targets, canvas):
            return {"constant": prediction.class_logits[0].sum() * 0 + 1}

    usual = detector.criterion
    try:
        detector.criterion = Constant()
        with pytest.raises(ContractError, match="Constant does not declare the target keys"):
            detector(images(), targets=[BOX])
        Constant.reads = (("angles",),)
        with pytest.raises(ContractError, match=r"fcos reads angles; given: boxes and labels"):
            detector(images(), targets=[BOX])
        assert detector(images(), targets=[{"angles": torch.zeros(1)}]).loss == 1
    finally:
        detector.criterion = usual


def test_several_tasks_may_miss_theirs() -> None:
    dense = {"name": "fcn", "num_classes": 3, "channels": 8}
    heads = {"one": {"head": dense}, "image": {"head": {"name": "classification", "num_classes": 4}}}
    model = bk.build_model({"backbone": RESNET, "heads": heads}).train()
    assert model(images(), targets=[PIXELS]).losses["image.cross_entropy"] == 0
    assert model(images(), targets=[{"class": torch.tensor(2)}]).loss > 0
    with pytest.raises(ContractError, match="fcn reads segmentation; classification reads class; given: nothing"):
        model(images(), targets=[{}])
