"""Run by `pytest` in the folder of this repository."""

from pathlib import Path

import my_project  # noqa: F401
import torch

from backbonekit import build_model

CONFIGS = Path(__file__).parent.parent / "configs"


def test_the_model_predicts_a_class_for_every_pixel() -> None:
    model = build_model("mine", config_dir=CONFIGS)
    with torch.no_grad():
        logits = model(torch.zeros(1, 3, 64, 48)).predictions.logits
    assert logits.shape == (1, 11, 64, 48)
