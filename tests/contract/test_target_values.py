"""Boxes and keypoints in wrong units are refused, wherever they enter."""

import pytest
import torch

from backbonekit.contract.target_values import check_boxes, check_keypoints, check_relative
from backbonekit.errors import ContractError

SIZE = (40, 60)


@pytest.mark.parametrize(
    "boxes",
    [
        torch.zeros(0, 4),
        torch.tensor([[0.0, 0, 60, 40]]),
        torch.tensor([[-5.0, -3, 10, 10], [50, 30, 70, 55]]),  # cut off by the image's border
        torch.tensor([[0.2, 0.1, 0.9, 0.8], [3, 3, 9, 9]]),  # one of less than a pixel
        torch.tensor([[5.0, 5, 5, 5]]),  # a point
        torch.zeros(2, 4),
    ],
)
def test_boxes_in_pixels_are_taken(boxes) -> None:
    check_boxes(boxes, SIZE, image=0)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ([[3.0, 3, 9, 9], [20, 20, 10, 30]], r"targets\[4\]: boxes\[1\] is \[20, 20, 10, 30\]; a box is x0.*xywh"),
        ([[float("nan"), 0, 9, 9]], "a box is x0, y0, x1, y1"),
        ([[float("inf")] * 4], "a box is x0, y0, x1, y1"),
        ([[0.1, 0.2, 0.5, 0.9]], "they are relative.*multiply by the image's width and height, 60 and 40"),
        ([[0.5, 0.5, 0.2, 0.2]], "they are relative"),
        ([[0.0, 0, 1, 1]], "they are relative"),
        ([[3.0, 3, 9, 9], [60, 3, 80, 9]], r"boxes\[1\] is .*outside its image of 40 x 60 pixels"),
        ([[-9.0, 3, -1, 9]], "outside its image"),
        ([[300.0, 400, 500, 600]], "outside its image"),
    ],
)
def test_other_boxes_are_refused(boxes, says) -> None:
    with pytest.raises(ContractError, match=says):
        check_boxes(torch.tensor(boxes), SIZE, image=4)


@pytest.mark.parametrize(
    "points",
    [
        [[3.0, 4, 2], [70, 4, 2]],  # one outside
        [[0.0, 0, 0], [0, 0, 0]],  # none annotated
        [[float("nan"), 0, 0], [9, 9, 1]],
        [[0.5, 0.5, 2], [9, 9, 2]],
        [[0.5, 0.5, 2], [9, 9, 0]],  # one alone may lie in the first pixel
    ],
)
def test_keypoints_in_pixels_are_taken(points) -> None:
    check_keypoints(torch.tensor([points]), SIZE, image=0)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([[0.3, 0.4, 2], [0.9, 0.1, 2]], r"as \[0.3, 0.4\]: they are relative"),
        ([[0.3, 0.4, 2], [0.1, 0.2, 1], [9, 9, 0]], "they are relative"),
        ([[300.0, 400, 2], [0, 0, 0]], r"object 0, as \[300, 400\], are outside its image of 40 x 60"),
        ([[float("nan"), 4, 2]], "outside its image"),
    ],
)
def test_other_keypoints_are_refused(points, says) -> None:
    with pytest.raises(ContractError, match=says):
        check_keypoints(torch.tensor([points]), SIZE, image=0)


def test_boxes_of_transformers_are_relative() -> None:
    check_relative(torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.9, 0.9, 0.4, 0.4]]), image=0)
    check_relative(torch.zeros(0, 4), image=0)
    for wrong in ([10.0, 20, 30, 40], [0.5, 0.5, -0.1, 0.1], [float("nan"), 0, 0, 0]):
        with pytest.raises(ContractError, match=r"labels of image 2: boxes\[0\].*in 0..1 of the image"):
            check_relative(torch.tensor([wrong]), image=2)
