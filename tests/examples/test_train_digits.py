"""The digits example runs end to end; that it learns is its own, longer matter (`make example`)."""

import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_digits

    return train_digits


def test_it_trains_saves_reloads_and_draws(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_digits.py", "--steps", "2", "--batch", "2", "--folder", str(tmp_path)])
    example.main()
    assert "mean IoU on 100 held-out images" in capsys.readouterr().out
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert (tmp_path / "overview.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "score.json").read_text())["steps"] == 2


def test_the_loss_falls_on_a_batch_that_is_seen_again(example):
    import torch

    import backbonekit as bk

    train, _ = example.split_digits()
    model = bk.build_model("maskformer_digits").train()
    batch = model.processor(*example.compose_images(train, count=4, seed=0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_perfect_prediction_scores_one_and_an_empty_one_scores_zero(example):
    import torch

    from backbonekit.contract.results import InstanceResult

    _, test = example.split_digits()
    images, targets = example.compose_images(test, count=5, seed=0)

    class Oracle:
        def __init__(self, keep: bool) -> None:
            self.keep = keep

        def predict(self, images, **_):
            count = None if self.keep else 0
            return [
                InstanceResult(
                    target["labels"][:count],
                    torch.ones(len(target["labels"][:count])),
                    torch.zeros(len(target["labels"][:count]), 4),
                    target["masks"][:count],
                )
                for target in targets
            ]

    present = {int(label) for target in targets for label in target["labels"]}
    assert example.mean_iou(Oracle(True), images, targets) == pytest.approx(len(present) / 10)
    assert example.mean_iou(Oracle(False), images, targets) == 0


def test_held_out_digits_are_not_trained_on(example):
    train, test = example.split_digits()
    assert len(train) + len(test) == 1797
    seen = {image.tobytes() for image, _ in train}
    assert sum(image.tobytes() in seen for image, _ in test) == 0
