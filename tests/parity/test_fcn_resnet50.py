"""The recipes `fcn_resnet50` and `classifier_convnext_tiny` against the models of torchvision and timm of that name:
predictions, losses, gradients and running statistics, from the same random weights, in double precision."""

import pytest
import timm
import torch
import torch.nn.functional as functional
import torchvision
from torch import Tensor, nn

import backbonekit as bk
from tests.fixed_weights import randomise_weights

pytestmark = pytest.mark.parity

# Theirs -> ours. The numbers are positions in torchvision's nn.Sequential.
FCN_HEAD = {
    "classifier.0.": "head.classifier.convolution.",
    "classifier.1.": "head.classifier.norm.",
    "classifier.4.": "head.classifier.classifier.",
    "aux_classifier.0.": "head.auxiliary_classifier.convolution.",
    "aux_classifier.1.": "head.auxiliary_classifier.norm.",
    "aux_classifier.4.": "head.auxiliary_classifier.classifier.",
    "backbone.": "backbone.body.",
}
CONVNEXT = {"head.norm.": "head.norm.", "head.fc.": "head.classifier.", "": "backbone.body."}
EXACT = {"rtol": 1e-10, "atol": 1e-12}
# Losses are computed in single precision whatever the model's, and gradients start there: 7e-8 of each parameter's
# largest was measured.
AFTER_THE_LOSS = {"rtol": 1e-6, "atol": 1e-6}


def renamed(name: str, table: dict[str, str]) -> str:
    theirs = next(prefix for prefix in table if name.startswith(prefix))
    return table[theirs] + name.removeprefix(theirs)


def filled(ours: nn.Module, theirs: nn.Module, table: dict[str, str]) -> None:
    """Every weight of theirs under our name; strict, so none is left out and none is over."""
    randomise_weights(theirs)
    ours.load_state_dict({renamed(name, table): tensor for name, tensor in theirs.state_dict().items()}, strict=True)
    for model in (ours, theirs):
        model.double()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0


def compare_gradients(ours: nn.Module, theirs: nn.Module, table: dict[str, str]) -> None:
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        gradient = parameters.pop(renamed(name, table)).grad
        scale = parameter.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(gradient / scale, parameter.grad / scale, **AFTER_THE_LOSS, msg=name)
    assert not parameters


@pytest.fixture(scope="module")
def fcn() -> tuple[nn.Module, nn.Module]:
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    ours = bk.build_model("fcn_resnet50")
    filled(ours, theirs, FCN_HEAD)
    return ours, theirs


@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_fcn_predicts_as_torchvisions(fcn, size):
    ours, theirs = (model.eval() for model in fcn)
    pixel_values = torch.randn(2, 3, *size, dtype=torch.float64)
    targets = [{"segmentation": torch.randint(0, 21, size)} for _ in range(2)]
    with torch.no_grad():
        expected = theirs(pixel_values)
        plain, given = ours(pixel_values), ours(pixel_values, targets=targets)
    torch.testing.assert_close(plain.predictions.logits, expected["out"], **EXACT)
    torch.testing.assert_close(given.predictions.logits, expected["out"], **EXACT)
    torch.testing.assert_close(given.predictions.auxiliary[0], expected["aux"], **EXACT)


@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_fcn_trains_as_torchvisions(fcn, size):
    ours, theirs = (model.train() for model in fcn)
    pixel_values = torch.randn(2, 3, *size, dtype=torch.float64)
    segmentation = torch.randint(0, 21, (2, *size))
    segmentation[0, :5], segmentation[1, :, -7:] = 255, 255
    expected = theirs(pixel_values)
    loss = reference_loss(expected, segmentation)
    ours.zero_grad()
    theirs.zero_grad()
    loss.backward()
    given = ours(pixel_values, targets=[{"segmentation": each} for each in segmentation])
    given.loss.backward()
    torch.testing.assert_close(given.predictions.logits, expected["out"], **EXACT)
    torch.testing.assert_close(given.loss.double(), loss, **AFTER_THE_LOSS)
    auxiliary = 0.5 * term(expected["aux"], segmentation)
    torch.testing.assert_close(given.losses["auxiliary_cross_entropy"].double(), auxiliary, **AFTER_THE_LOSS)
    compare_gradients(ours, theirs, FCN_HEAD)
    statistics = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(statistics[renamed(name, FCN_HEAD)], tensor, **EXACT)


def reference_loss(predictions: dict[str, Tensor], segmentation: Tensor) -> Tensor:
    """As torchvision/references/segmentation/train.py: criterion."""
    return term(predictions["out"], segmentation) + 0.5 * term(predictions["aux"], segmentation)


def term(logits: Tensor, segmentation: Tensor) -> Tensor:
    return functional.cross_entropy(logits, segmentation, ignore_index=255)


@pytest.fixture(scope="module")
def convnext() -> tuple[nn.Module, nn.Module]:
    ours = bk.build_model("classifier_convnext_tiny")
    theirs = timm.create_model(ours.recipe.backbone.name, pretrained=False).eval()
    filled(ours, theirs, CONVNEXT)
    return ours, theirs


@pytest.mark.parametrize("size", [(64, 64), (97, 65)])
def test_the_convnext_classifier_is_timms(convnext, size):
    ours, theirs = convnext
    ours.zero_grad()
    theirs.zero_grad()
    pixel_values = torch.randn(2, 3, *size, dtype=torch.float64)
    classes = torch.tensor([3, 997])
    expected = theirs(pixel_values)
    given = ours(pixel_values, targets=[{"class": each} for each in classes])
    torch.testing.assert_close(given.predictions.logits, expected, **EXACT)
    loss = functional.cross_entropy(expected, classes)
    torch.testing.assert_close(given.loss.double(), loss, **AFTER_THE_LOSS)
    loss.backward()
    given.loss.backward()
    compare_gradients(ours, theirs, CONVNEXT)
