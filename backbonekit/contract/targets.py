"""What a model is trained on, in torchvision's convention: a list with one dict an image."""

from typing import TypedDict

from torch import Tensor

IGNORE_LABEL = 255  # a pixel of `segmentation` with this label counts in no loss and no metric


# "class" is a keyword of the language, so the functional form.
Target = TypedDict(
    "Target",
    {
        "labels": Tensor,  # int64 [N], 0..classes-1; N = 0 is legal
        "boxes": Tensor,  # float [N, 4], x0 y0 x1 y1 in the input's pixels
        "masks": Tensor,  # bool or uint8 [N, h, w] on the input's canvas
        "segmentation": Tensor,  # int64 [h, w], 255 = ignore
        "depth": Tensor,  # float [h, w]; NaN or <= 0 invalid
        "keypoints": Tensor,  # float [N, K, 3]: x, y, visibility
        "class": Tensor,  # int64 []
    },
    total=False,
)
Target.__doc__ = """The ground truth of one image. Every key is optional; each task reads its own."""

Targets = list[Target]
