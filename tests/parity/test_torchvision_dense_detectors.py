"""FCOS and RetinaNet against torchvision's: boxes and scores, every loss term, every gradient, the final detections;
from the same random weights, over torchvision's ResNet-18 with a pyramid, which is timm's under another name."""

import pytest
import torch
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.resnet import resnet18
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import backbonekit as bk
from backbonekit.contract.processing import Geometry
from backbonekit.postprocessing.boxes import suppress
from tests.fixed_weights import randomise_weights

pytestmark = pytest.mark.parity

SIZE = (128, 192)
CLASSES = 5


def extractor():
    return _resnet_fpn_extractor(resnet18(weights=None), 5, [2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))


def torchvision_fcos():
    return FCOS(extractor(), CLASSES, score_thresh=0.05, nms_thresh=0.5)


def torchvision_retinanet():
    # 8 pixels less than the default's, which are of its strides
    sides = tuple(tuple(int(32 * 2**level * 2 ** (third / 3)) for third in range(3)) for level in range(5))
    return RetinaNet(extractor(), CLASSES, anchor_generator=AnchorGenerator(sides, ((0.5, 1.0, 2.0),) * 5))


def our_name(name: str) -> str | None:
    """torchvision's name of a weight -> ours; None for what the pyramid does without."""
    name = name.replace("backbone.body.", "backbone.body.")
    for theirs, ours in (
        ("backbone.fpn.inner_blocks.{i}.0", "neck.0.lateral.{i}.convolution"),
        ("backbone.fpn.layer_blocks.{i}.0", "neck.0.output.{i}.convolution"),
    ):
        for index in range(3):
            name = name.replace(theirs.format(i=index), ours.format(i=index))
    name = name.replace("backbone.fpn.extra_blocks.p6", "neck.0.extra_convolutions.0")
    name = name.replace("backbone.fpn.extra_blocks.p7", "neck.0.extra_convolutions.1")
    for tower, ours in (("classification_head", "class"), ("regression_head", "box")):
        prefix = f"head.{tower}.conv."
        if name.startswith(prefix):
            index, rest = name.removeprefix(prefix).split(".", 1)
            if rest.startswith("0."):  # RetinaNet: a block a convolution
                return f"head.{ours}_tower.convolutions.{index}.convolution.{rest.removeprefix('0.')}"
            layer = "convolution" if int(index) % 3 == 0 else "norm"  # FCOS: convolution, norm, ReLU in a row
            return f"head.{ours}_tower.convolutions.{int(index) // 3}.{layer}.{rest}"
    name = name.replace("head.classification_head.cls_logits", "head.class_predictor")
    name = name.replace("head.regression_head.bbox_reg", "head.box_predictor")
    return name.replace("head.regression_head.bbox_ctrness", "head.centreness_predictor")


def pair(kind):
    theirs = {"fcos": torchvision_fcos, "retinanet": torchvision_retinanet}[kind]()
    randomise_weights(theirs)
    ours = bk.build_model(
        {
            "backbone": {"source": "timm", "name": "resnet18"},
            "neck": {"name": "fpn", "num_extra_levels": 2, "extra": "convolution"},
            "head": {"name": kind, "num_classes": CLASSES},
        }
    )
    ours.load_state_dict({our_name(name): tensor for name, tensor in theirs.state_dict().items()}, strict=True)
    return ours.double().eval(), theirs.double().eval()


def run_theirs(theirs, images):
    """Their head's prediction on our tensor, past their own resizing and normalising."""
    levels = list(theirs.backbone(images).values())
    anchors = theirs.anchor_generator(ImageList(images, [SIZE] * len(images)), levels)
    return theirs.head(levels), anchors, [level.shape[-2] * level.shape[-1] for level in levels]


def targets():
    boxes = torch.tensor(
        [[4.0, 6, 40, 50], [60, 20, 100, 100], [10, 10, 30, 24], [0, 0, 190, 120], [90, 3, 99, 12]],
        dtype=torch.float64,
    )
    return [
        {"labels": torch.tensor([0, 4, 2, 1, 3]), "boxes": boxes},
        {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4, dtype=torch.float64)},
        {"labels": torch.tensor([3, 3]), "boxes": boxes[1:3]},
    ]


def their_losses(theirs, kind, heads, anchors, positions):
    if kind == "fcos":
        losses = theirs.compute_loss(targets(), heads, anchors, positions)
        return {
            "class": losses["classification"],
            "box": losses["bbox_regression"],
            "centreness": losses["bbox_ctrness"],
        }
    losses = theirs.compute_loss(targets(), heads, anchors)
    return {"class": losses["classification"], "box": losses["bbox_regression"]}


@pytest.fixture(scope="module", params=["fcos", "retinanet"])
def case(request):
    ours, theirs = pair(request.param)
    images = torch.randn(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return request.param, ours, theirs, images


def test_predictions_losses_and_gradients_are_equal(case):
    kind, ours, theirs, images = case
    heads, anchors, positions = run_theirs(theirs, images)
    output = ours(images, targets=targets())
    prediction = output.predictions
    torch.testing.assert_close(torch.cat(prediction.class_logits, 1), heads["cls_logits"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.cat(prediction.regression, 1), heads["bbox_regression"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.cat(prediction.anchors_xyxy), anchors[0])
    if kind == "fcos":
        quality = torch.cat(prediction.quality_logits, 1)
        torch.testing.assert_close(quality, heads["bbox_ctrness"], rtol=1e-10, atol=1e-10)
    losses = their_losses(theirs, kind, heads, anchors, positions)
    assert set(losses) == set(output.losses)
    for name, loss in losses.items():
        assert loss > 0, name
        torch.testing.assert_close(output.losses[name], loss, rtol=1e-9, atol=1e-9, msg=name)
    output.loss.backward()
    sum(losses.values()).backward()
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        gradient = parameters.pop(our_name(name)).grad
        scale = parameter.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(gradient / scale, parameter.grad / scale, rtol=1e-7, atol=1e-7, msg=name)
    assert not parameters


def test_detections_are_equal(case):
    _, ours, theirs, images = case
    with torch.no_grad():
        heads, anchors, positions = run_theirs(theirs, images)
        per_position = heads["cls_logits"].shape[1] // sum(positions)
        counts = [count * per_position for count in positions]
        split = {name: list(tensor.split(counts, dim=1)) for name, tensor in heads.items()}
        expected = theirs.postprocess_detections(split, [list(one.split(counts)) for one in anchors], [SIZE] * 3)
        prediction = ours(images).predictions
    geometry = Geometry(original=SIZE, resized=SIZE, crop_offset=(0, 0), shown=SIZE, canvas=SIZE)
    given = suppress(prediction, [geometry] * 3, threshold=0.05, top_k=theirs.detections_per_img)
    for one, other in zip(given, expected, strict=True):
        assert len(one.labels) > 10
        assert torch.equal(one.labels, other["labels"])
        torch.testing.assert_close(one.scores, other["scores"].float())
        torch.testing.assert_close(one.boxes_xyxy, other["boxes"].float())
