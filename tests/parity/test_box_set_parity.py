"""The set loss of boxes against transformers' on equal predictions: every term, every gradient."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries
from backbonekit.losses.box_set import BoxSetCriterion
from backbonekit.ops.boxes import xyxy_to_cxcywh

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZE = (131, 87)
TERMS = {"loss_ce": "class", "loss_vfl": "class", "loss_bbox": "box", "loss_giou": "giou"}
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def predictions(layers, columns, dtype, batch=3, queries=12):
    return [
        BoxQueries(
            (2 * torch.randn(batch, queries, columns, dtype=dtype)).requires_grad_(),
            (torch.rand(batch, queries, 4, dtype=dtype) * 0.9 + 0.05).requires_grad_(),
        )
        for _ in range(layers)
    ]


def random_targets(dtype, counts=(5, 0, 15)):
    """Targets in pixels for us, relative for transformers; one image without objects, one with more than queries."""
    ours = []
    for count in counts:
        corners = torch.rand(count, 2, 2, dtype=dtype)
        corners = torch.cat((corners.amin(1), corners.amax(1)), dim=1)
        labels = torch.randint(0, 6, (count,))
        ours.append({"labels": labels, "boxes": corners * torch.tensor([SIZE[1], SIZE[0]] * 2)})
    theirs = [
        {
            "class_labels": one["labels"],
            "boxes": xyxy_to_cxcywh(one["boxes"] / torch.tensor([SIZE[1], SIZE[0]] * 2, dtype=dtype)),
        }
        for one in ours
    ]
    return ours, theirs


@contextmanager
def default_type(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def losses_of(kind, layers, targets):
    """Unweighted, by the names of transformers."""
    final, *earlier = layers
    config = SimpleNamespace(
        **{"class_cost": 1.5, "bbox_cost": 4, "giou_cost": 3, "num_labels": 6, "eos_coefficient": 0.2},
        **{"auxiliary_loss": True, "bbox_loss_coefficient": 1, "giou_loss_coefficient": 1, "focal_alpha": 0.3},
        decoder_layers=len(layers),
    )
    stacked = [
        torch.stack([getattr(one, name) for one in (*earlier, final)]) for name in ("class_logits", "boxes_cxcywh")
    ]
    if kind == "cross_entropy":
        from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss as loss
    elif kind == "focal":
        from transformers.loss.loss_deformable_detr import DeformableDetrForObjectDetectionLoss as loss
    else:
        from transformers.loss.loss_rt_detr import RTDetrLoss

        config = transformers.RTDetrConfig(
            num_labels=6, matcher_class_cost=1.5, matcher_bbox_cost=4.0, matcher_giou_cost=3.0, weight_loss_vfl=1.0,
            weight_loss_bbox=1.0, weight_loss_giou=1.0, focal_loss_alpha=0.3,
        )  # fmt: skip
        outputs = [{"logits": one.class_logits, "pred_boxes": one.boxes_cxcywh} for one in layers]
        return RTDetrLoss(config)({**outputs[0], "auxiliary_outputs": outputs[1:]}, targets)
    return loss(final.class_logits, targets, "cpu", final.boxes_cxcywh, config, *stacked)[1]


@pytest.mark.parametrize("counts", [(5, 0, 15), (0, 0, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "varifocal"])
def test_terms_and_gradients_are_equal(kind, dtype, counts):
    torch.manual_seed(3)
    layers = predictions(3, 7 if kind == "cross_entropy" else 6, dtype)
    ours, theirs = random_targets(dtype, counts)
    with default_type(dtype):  # the reference's table of class weights has it
        expected = losses_of(kind, layers, theirs)
    criterion = BoxSetCriterion(
        num_classes=6, classification=kind, class_cost=1.5, box_cost=4.0, giou_cost=3.0, no_object_weight=0.2,
        alpha=0.3, box_weight=1.0, giou_weight=1.0,
    )  # fmt: skip
    prediction = BoxQueries(layers[0].class_logits, layers[0].boxes_cxcywh, tuple(layers[1:]))
    terms = criterion(prediction, ours, Canvas(SIZE))
    compared = {}
    for name, loss in expected.items():
        for theirs_name, our_name in TERMS.items():
            if name.startswith(theirs_name):
                compared[name.replace(theirs_name, our_name).replace("_aux", "")] = loss
    assert compared.keys() == terms.keys()
    for name, loss in compared.items():
        assert (terms[name] - loss).abs() <= TOLERANCE[dtype] * loss.abs().clamp(min=1e-3), name
    leaves = [tensor for layer in layers for tensor in (layer.class_logits, layer.boxes_cxcywh)]
    theirs_gradients = torch.autograd.grad(sum(compared.values()), leaves, retain_graph=True, allow_unused=True)
    our_gradients = torch.autograd.grad(sum(terms.values()), leaves)
    for one, other in zip(our_gradients, theirs_gradients, strict=True):
        other = torch.zeros_like(one) if other is None else other
        assert (one - other).abs().max() <= TOLERANCE[dtype] * other.abs().max().clamp(min=1e-3)
