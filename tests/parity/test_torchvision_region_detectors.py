"""Faster R-CNN and Mask R-CNN against torchvision's: every loss term with the same draws, every gradient, the final
detections with their masks; from the same random weights, over torchvision's ResNet-18 with a pyramid."""

import pytest
import torch
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.resnet import resnet18

import backbonekit as bk
from backbonekit.contract.processing import Geometry
from backbonekit.postprocessing.boxes import place_detections
from tests.fixed_weights import randomise_weights

pytestmark = pytest.mark.parity

SIZE = (128, 192)
CLASSES = 5
NAMES = (
    ("rpn.head.", "head.detector.proposals.head.module."),
    ("roi_heads.box_head.", "head.detector.regions.box_head.module."),
    ("roi_heads.box_predictor.", "head.detector.regions.box_predictor.module."),
    ("roi_heads.mask_head.", "head.detector.regions.mask_head.module."),
    ("roi_heads.mask_predictor.", "head.detector.regions.mask_predictor.module."),
    *((f"backbone.fpn.inner_blocks.{level}.0.", f"neck.0.lateral.{level}.convolution.") for level in range(4)),
    *((f"backbone.fpn.layer_blocks.{level}.0.", f"neck.0.output.{level}.convolution.") for level in range(4)),
    ("backbone.body.", "backbone.body."),
)
LOSSES = {
    "objectness": "loss_objectness",
    "proposal": "loss_rpn_box_reg",
    "class": "loss_classifier",
    "box": "loss_box_reg",
    "mask": "loss_mask",
}


def our_name(name: str) -> str:
    theirs, ours = next(pair for pair in NAMES if name.startswith(pair[0]))
    return ours + name.removeprefix(theirs)


@pytest.fixture(scope="module", params=["faster_rcnn", "mask_rcnn"])
def case(request):
    kind = {"faster_rcnn": FasterRCNN, "mask_rcnn": MaskRCNN}[request.param]
    theirs = kind(
        _resnet_fpn_extractor(resnet18(weights=None), 5),
        CLASSES + 1,
        rpn_post_nms_top_n_train=40,
        rpn_post_nms_top_n_test=30,
        box_score_thresh=0.1,
    )
    randomise_weights(theirs)
    ours = bk.build_model(
        {
            "backbone": {"source": "timm", "name": "resnet18"},
            "neck": {"name": "fpn", "num_extra_levels": 1, "extra": "max_pool"},
            "head": {
                "name": request.param,
                "num_classes": CLASSES,
                "num_proposals": 30,
                "num_proposals_in_training": 40,
                "score_threshold": 0.1,
            },
        }
    )
    ours.load_state_dict({our_name(name): tensor for name, tensor in theirs.state_dict().items()}, strict=True)
    images = torch.randn(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return ours.double().eval(), theirs.double().eval(), images


def targets():
    """Boxes that are images' own pixels, one image without any; classes counted from 0."""
    boxes = torch.tensor(
        [[4.0, 6, 40, 50], [60, 20, 100, 100], [10, 10, 30, 24], [0, 0, 190, 120]], dtype=torch.float64
    )
    masks = torch.zeros(4, *SIZE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
        mask[top : (top + bottom) // 2, left : (left + right) // 2] = False
    return [
        {"labels": torch.tensor([0, 4, 2, 1]), "boxes": boxes, "masks": masks},
        {"labels": torch.zeros(0, dtype=torch.int64), "boxes": boxes[:0], "masks": masks[:0]},
        {"labels": torch.tensor([3, 3]), "boxes": boxes[1:3], "masks": masks[1:3]},
    ]


def run_theirs(theirs, images, targets=None):
    """Their two stages on our tensor, past their own resizing and normalising."""
    levels = theirs.backbone(images)
    image_list = ImageList(images, [SIZE] * len(images))
    if targets is not None:
        targets = [{**target, "labels": target["labels"] + 1, "masks": target["masks"].byte()} for target in targets]
        theirs.rpn.training = theirs.roi_heads.training = True
    proposals, first = theirs.rpn(image_list, levels, targets)
    detections, second = theirs.roi_heads(levels, proposals, image_list.image_sizes, targets)
    theirs.rpn.training = theirs.roi_heads.training = False
    return detections, {**first, **second}


def test_losses_and_gradients_are_equal(case):
    ours, theirs, images = case
    torch.manual_seed(3)
    _, expected = run_theirs(theirs, images, targets())
    torch.manual_seed(3)
    output = ours(images, targets=targets())
    assert {LOSSES[name] for name in output.losses} == set(expected)
    for name, loss in output.losses.items():
        assert loss > 0, name
        torch.testing.assert_close(loss, expected[LOSSES[name]], rtol=1e-10, atol=1e-10, msg=name)
    output.loss.backward()
    torch.stack(list(expected.values())).sum().backward()
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        gradient = parameters.pop(our_name(name)).grad
        scale = parameter.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(gradient / scale, parameter.grad / scale, rtol=1e-7, atol=1e-7, msg=name)
    assert not parameters


def test_detections_are_equal(case):
    ours, theirs, images = case
    with torch.no_grad():
        expected, _ = run_theirs(theirs, images)
        prediction = ours(images).predictions
    geometry = Geometry(original=SIZE, resized=SIZE, crop_offset=(0, 0), shown=SIZE, canvas=SIZE)
    given = place_detections(prediction, [geometry] * 3, threshold=0.0)
    for one, other in zip(given, expected, strict=True):
        assert len(one.labels) > 5
        assert torch.equal(one.labels + 1, other["labels"])
        torch.testing.assert_close(one.scores, other["scores"].float())
        torch.testing.assert_close(one.boxes_xyxy, other["boxes"].float())
        assert (one.masks is None) == ("masks" not in other)
        if one.masks is not None:
            pasted = paste_masks_in_image(other["masks"].float(), other["boxes"].float(), SIZE)[:, 0] > 0.5
            assert torch.equal(one.masks, pasted)


def test_the_recipes_have_torchvisions_size():
    """As in torchvision's COCO weights: 90 classes and the background."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, MaskRCNN_ResNet50_FPN_Weights

    for name, weights in (
        ("faster_rcnn_resnet50_fpn", FasterRCNN_ResNet50_FPN_Weights.COCO_V1),
        ("mask_rcnn_resnet50_fpn", MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
    ):
        with torch.device("meta"):
            model = bk.build_model(name)
        norms = sum(
            parameter.numel()
            for module in model.modules()
            if isinstance(module, torch.nn.BatchNorm2d)
            for parameter in module.parameters()
        )
        # theirs are buffers, since they never learn
        assert sum(p.numel() for p in model.parameters()) - norms == weights.meta["num_params"]
