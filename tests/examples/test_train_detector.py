"""The detector and segmenter examples run end to end; that they learn is their own, longer matter."""

import json
import sys
from pathlib import Path

import pytest
import torch

from backbonekit.contract.results import InstanceResult, SemanticResult

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def detector(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_detector

    return train_detector


@pytest.fixture
def segmenter(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_segmenter

    return train_segmenter


@pytest.mark.parametrize("example", ["detector", "segmenter"])
def test_it_trains_saves_reloads_and_draws(example, request, tmp_path, monkeypatch, capsys):
    module = request.getfixturevalue(example)
    monkeypatch.setattr(sys, "argv", [module.__file__, "--steps", "2", "--batch", "2", "--folder", str(tmp_path)])
    module.main()
    assert "on 100 held-out images" in capsys.readouterr().out
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert (tmp_path / "overview.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "score.json").read_text())["steps"] == 2


def oracle(predictions):
    return type("Oracle", (), {"predict": lambda self, images, **_: predictions})()


def test_average_precision_of_a_perfect_a_doubled_and_an_empty_prediction(detector):
    _, digits = detector.split_digits()
    images, targets = detector.compose_images(digits, count=40, seed=0)

    def score(*copies):
        """A prediction with every digit once a copy, at these scores; the boxes grow a little from copy to copy."""
        predictions = [
            InstanceResult(
                torch.cat([target["labels"]] * len(copies)) if copies else target["labels"][:0],
                torch.cat([torch.full((len(target["labels"]),), one) for one in copies]) if copies else torch.zeros(0),
                torch.cat([target["boxes"].float() + index for index in range(len(copies))])
                if copies
                else torch.zeros(0, 4),
            )
            for target in targets
        ]
        return detector.mean_average_precision(oracle(predictions), images, targets)

    assert score(0.9) == pytest.approx(1.0)
    assert score(0.9, 0.8) == pytest.approx(1.0), "doubles that score less come after all that is right"
    assert score() == 0.0


def test_a_wrong_claim_before_the_right_one_halves_the_precision(detector):
    target = {"labels": torch.tensor([3]), "boxes": torch.tensor([[0, 0, 10, 10]])}
    prediction = InstanceResult(
        torch.tensor([3, 3]), torch.tensor([0.9, 0.5]), torch.tensor([[40.0, 40, 50, 50], [0, 0, 10, 10]])
    )
    assert detector.mean_average_precision(oracle([prediction]), [None], [target]) == pytest.approx(0.5 / 10)


def test_mean_iou_of_a_perfect_prediction_and_of_background_alone(segmenter):
    _, digits = segmenter.split_digits()
    images, targets = segmenter.compose_images(digits, count=40, seed=0)
    perfect = [SemanticResult(target["segmentation"]) for target in targets]
    assert segmenter.mean_iou(oracle(perfect), images, targets) == pytest.approx(1.0)
    nothing = [SemanticResult(torch.full_like(target["segmentation"], segmenter.BACKGROUND)) for target in targets]
    assert 0.0 < segmenter.mean_iou(oracle(nothing), images, targets) < 1 / 11
