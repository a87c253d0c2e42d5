"""Trains a small MaskFormer from a random start on images composed of real handwritten digits, in minutes on a CPU.

    python examples/train_digits.py                    # trains, measures, saves, reloads, draws
    python examples/train_digits.py --steps 200        # a quick look

The images are made of the 1,797 digits (8x8 pixels, UCI Optical Recognition of Handwritten Digits) in scikit-learn:
a few of them, enlarged, on a noisy background. Digits of the held-out images are never seen in training; on 100 of
those the 1,500 steps reached a mean IoU of 0.94 in four of five runs. One got stuck at 0.75, where queries find the
same digit twice; the same seed reached 0.94 with other rounding.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from digits import compose_images, save_overview, split_digits, train

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

    images, targets = compose_images(test_digits, count=100, seed=options.seed + 1)
    score = mean_iou(model, images, targets)
    print(f"mean IoU on {len(images)} held-out images: {score:.3f}")

    model.save_pretrained(options.folder / "model")
    again = bk.load_model(options.folder / "model")
    assert abs(mean_iou(again, images, targets) - score) < 1e-6, "the reloaded model predicts something else"
    save_overview(again, images[:8], options.folder / "overview.png")
    (options.folder / "score.json").write_text(json.dumps({"mean_iou": score, "steps": options.steps}) + "\n")
    print(f"saved {options.folder}/model and {options.folder}/overview.png")


def mean_iou(model, images, targets) -> float:
    """Mean over the ten digit classes of intersection over union, in the images' own pixels."""
    intersection, union = np.zeros(10), np.zeros(10)
    results = model.predict(images, task="instance", batch_size=16, threshold=0.5)
    for result, target in zip(results, targets, strict=True):
        for label in range(10):
            found = _union(result.masks, result.labels, label)
            expected = _union(target["masks"], target["labels"], label)
            intersection[label] += (found & expected).sum().item()
            union[label] += (found | expected).sum().item()
    return float((intersection / np.maximum(union, 1)).mean())


def _union(masks, labels, label: int) -> torch.Tensor:
    return masks[labels == label].any(dim=0)


if __name__ == "__main__":
    main()
