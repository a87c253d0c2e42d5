"""Small models and batches for the engines: a head that matches masks, a head that matches boxes, and a pair of heads
for which some images have targets of one task only."""

from typing import Any

import torch

import backbonekit as bk
from backbonekit.assembly.composed_model import ComposedModel
from tests.assembly.recipes import CLASSIFICATION, FCN, RESNET, maskformer
from tests.assembly.test_rt_detr_models import real_time

SIZE = (64, 64)
RECIPES: dict[str, dict[str, Any]] = {
    "maskformer": maskformer(RESNET),
    # Trained on denoising queries, of which there are none for an image without boxes.
    "d_fine": real_time(RESNET, "elan", 2, name="d_fine", num_bins=6, quality_channels=8),
    "two_heads": {
        "backbone": RESNET,
        "heads": {"seg": {"neck": {"name": "fpn", "channels": 64}, "head": FCN}, "cls": {"head": CLASSIFICATION}},
    },
}


def model_of(name: str) -> ComposedModel:
    return bk.build_model(RECIPES[name])


def sample(index: int) -> dict[str, Any]:
    """One image and its target, as a data set returns them. By index modulo 3: a full target; an empty one, as for
    images of a data set without labels for the task; one without any object."""
    generator = torch.Generator().manual_seed(index)
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, :32], masks[1, 32:, : 16 + index] = True, True
    target: dict[str, Any] = {"labels": torch.tensor([index % 4, 1]), "masks": masks, "class": torch.tensor(index % 4)}
    target["boxes"] = torch.tensor([[0.0, 0, 64, 32], [0, 32, 16 + index, 64]])
    target["segmentation"] = torch.randint(0, 4, SIZE, generator=generator)
    if index % 3 == 1:
        target = {}
    if index % 3 == 2:
        target = {"labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, *SIZE, dtype=torch.bool)}
        target |= {"boxes": torch.zeros(0, 4), "segmentation": torch.full(SIZE, 255), "class": torch.tensor(0)}
    return {"pixel_values": torch.randn(3, *SIZE, generator=generator), "target": target}
