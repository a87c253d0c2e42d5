"""Every shipped recipe, on a small backbone, in float16: outputs and losses are finite, and losses are float32."""

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor

import backbonekit as bk
from backbonekit.recipe.compose import model_names

VITS = ("dinov2", "depth_anything", "vitpose")
# Of the losses, relative. Measured: 0.005 and less; of the region detectors, which draw their samples, 0.051.
ALLOWED = 0.02
DRAWN = ("faster_rcnn", "mask_rcnn")


def targets(height: int, width: int) -> list[dict[str, Tensor]]:
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, : height // 2] = masks[1, height // 2 :, : width // 2] = True
    rows = torch.arange(height)[:, None].expand(height, width)
    points = torch.tensor([[[width / 3, height / 3, 2.0]]]).expand(1, 17, 3)
    boxes = [[0.0, 0.0, float(width), height / 2], [0.0, height / 2, width / 2, float(height)]]
    one = {
        "labels": torch.tensor([1, 3]), "boxes": torch.tensor(boxes), "masks": masks,
        "segmentation": rows.mul(4).div(height, rounding_mode="floor"), "depth": 0.5 + rows / height,
        "keypoints": points, "class": torch.tensor(1),
    }  # fmt: skip
    return [one, one]


@pytest.mark.parametrize("name", model_names())
def test_finite_in_float16(name: str) -> None:
    is_vit = any(word in name for word in VITS)
    model = bk.build_model(name, ["backbone=timm/test_vit" if is_vit else "backbone=timm/test_resnet"])
    height, width = (256, 192) if "vitpose" in name else (160, 160) if is_vit else (64, 96)
    pixel_values = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    given = targets(height, width) if model.head is not None else None
    with torch.no_grad():
        torch.manual_seed(0)
        expected = model(pixel_values, None, given)
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.float16):
            cast = model(pixel_values, None, given)
        half = model.half()(pixel_values.half())
    for out in (cast, half):
        for one, reference in zip(out.feature_maps, expected.feature_maps, strict=True):
            assert (one.float() - reference).norm() < 0.005 * reference.norm()  # measured: 0.0016 and less
        assert all(one.isfinite().all() for one in pytree.tree_leaves(out) if isinstance(one, Tensor))
    for term, loss in (cast.losses or {}).items():
        assert loss.dtype == torch.float32
        allowed = 0.1 if name.startswith(DRAWN) else ALLOWED
        assert abs(loss - expected.losses[term]) <= allowed * max(abs(expected.losses[term]), 0.1), term
