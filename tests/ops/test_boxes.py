"""Boxes: both formats, IoU and GIoU equal to torchvision's, sizes without padding."""

import pytest
import torch
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from backbonekit.contract.maps import Canvas
from backbonekit.ops.boxes import cxcywh_to_xyxy, image_sizes, iou_and_giou, xyxy_to_cxcywh


def some_boxes(count):
    corners = torch.rand(count, 2, 2, dtype=torch.float64)
    return torch.cat((corners.amin(1), corners.amax(1)), dim=1)


def test_conversions_are_those_of_torchvision_and_inverse():
    boxes = some_boxes(9)
    torch.testing.assert_close(xyxy_to_cxcywh(boxes), box_convert(boxes, "xyxy", "cxcywh"))
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)


def test_iou_and_giou_of_every_pair_are_those_of_torchvision():
    one, other = some_boxes(7), some_boxes(5)
    iou, generalized = iou_and_giou(one[:, None], other[None])
    torch.testing.assert_close(iou, box_iou(one, other))
    torch.testing.assert_close(generalized, generalized_box_iou(one, other))


def test_iou_and_giou_of_points_are_finite_with_finite_gradients():
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]], requires_grad=True)
    iou, generalized = iou_and_giou(point, torch.tensor([[0.5, 0.5, 0.5, 0.5]]))
    (iou + generalized).sum().backward()
    assert iou.isfinite().all()
    assert point.grad.isfinite().all()


@pytest.mark.parametrize("padded", [False, True])
def test_sizes_of_images(padded):
    like = torch.zeros(0, dtype=torch.float64)
    if not padded:
        assert image_sizes(Canvas((24, 32)), like).tolist() == [[32.0, 24.0]]
        return
    mask = torch.zeros(3, 24, 32, dtype=torch.bool)
    mask[0], mask[1, :7, :9] = True, True
    sizes = image_sizes(Canvas((24, 32), mask), like)
    assert sizes.dtype == like.dtype
    assert sizes.tolist() == [[32.0, 24.0], [9.0, 7.0], [1.0, 1.0]]
