"""Trains a small MaskFormer from a random start on pictures composed of real handwritten digits, in minutes on a CPU.

    python examples/train_digits.py                    # trains, measures, saves, reloads, draws
    python examples/train_digits.py --steps 200        # a quick look

The pictures are made of the 1,797 digits (8x8 pixels, UCI Optical Recognition of Handwritten Digits) in scikit-learn:
a few of them, enlarged, on a noisy background. Digits of the held-out pictures are never seen in training.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from digits import compose_pictures, split_digits

import backbonekit as bk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/digits"))
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    model = bk.build_model("maskformer_digits", seed=options.seed)
    train_digits, test_digits = split_digits()
    train(model, train_digits, steps=options.steps, batch=options.batch, seed=options.seed)

    pictures, targets = compose_pictures(test_digits, count=100, seed=options.seed + 1)
    score = mean_iou(model, pictures, targets)
    print(f"mean IoU on {len(pictures)} held-out pictures: {score:.3f}")

    model.save_pretrained(options.folder / "model")
    again = bk.load_model(options.folder / "model")
    assert abs(mean_iou(again, pictures, targets) - score) < 1e-6, "the reloaded model answers differently"
    save_overview(again, pictures[:8], options.folder / "overview.png")
    (options.folder / "score.json").write_text(json.dumps({"mean_iou": score, "steps": options.steps}) + "\n")
    print(f"saved {options.folder}/model and {options.folder}/overview.png")


def train(model, digits, *, steps: int, batch: int, seed: int) -> None:
    """A plain loop: AdamW, one cycle of the learning rate, gradients clipped."""
    model.train()
    optimizer = torch.optim.AdamW(bk.parameter_groups(model, lr=1e-3, weight_decay=0.05))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps, pct_start=0.1)
    since = time.time()
    for step in range(1, steps + 1):
        pictures, targets = compose_pictures(digits, count=batch, seed=seed * 1_000_003 + step)
        output = model(**model.processor(pictures, targets))
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step:5d}  loss {output.loss.item():7.3f}  {time.time() - since:5.0f} s", flush=True)
    model.eval()


def mean_iou(model, pictures, targets) -> float:
    """Mean over the ten digit classes of intersection over union, in the pictures' own pixels."""
    intersection, union = np.zeros(10), np.zeros(10)
    results = model.predict(pictures, task="instance", batch_size=16, threshold=0.5)
    for result, target in zip(results, targets, strict=True):
        for label in range(10):
            found = _union(result.masks, result.labels, label)
            truth = _union(target["masks"], target["labels"], label)
            intersection[label] += (found & truth).sum().item()
            union[label] += (found | truth).sum().item()
    return float((intersection / np.maximum(union, 1)).mean())


def _union(masks, labels, label: int) -> torch.Tensor:
    return masks[labels == label].any(dim=0)


def save_overview(model, pictures, path: Path) -> None:
    """What the model says, drawn over each picture, side by side."""
    from backbonekit.visualization.overview import overview

    # The processor brings them back to 64 pixels; the answers come in the enlarged picture's own.
    enlarged = [picture.resize((256, 256)) for picture in pictures]
    results = model.predict(enlarged, task="instance", threshold=0.5)
    drawn = [bk.draw(picture, result, model.labels) for picture, result in zip(enlarged, results, strict=True)]
    overview(drawn, columns=4).save(path)


if __name__ == "__main__":
    main()
