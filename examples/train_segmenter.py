"""Trains a small U-Net from a random start to name the digit that every pixel is on, in minutes on a CPU.

    python examples/train_segmenter.py                    # trains, measures, saves, reloads, draws
    python examples/train_segmenter.py --steps 200        # a quick look

The images are those of train_digits.py, here with a class for every pixel: ten digits and the background. Digits of
the held-out images are never seen in training; on 100 of those the 1,200 steps reach a mean IoU of 0.94.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from digits import BACKGROUND, compose_images, save_overview, split_digits, train

import backbonekit as bk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/segmenter"))
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    model = bk.build_model("unet_digits", seed=options.seed)
    train_digits, test_digits = split_digits()
    train(model, train_digits, steps=options.steps, batch=options.batch, seed=options.seed, learning_rate=2e-3)

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
    """Mean over ten digits and the background of intersection over union of their pixels, over all images."""
    results = model.predict(images, batch_size=16)
    found = torch.stack([result.segmentation for result in results])
    expected = torch.stack([target["segmentation"] for target in targets])
    classes = range(BACKGROUND + 1)
    both = [((found == label) & (expected == label)).sum().item() for label in classes]
    either = [((found == label) | (expected == label)).sum().item() for label in classes]
    return float(np.mean([one / max(all_of_it, 1) for one, all_of_it in zip(both, either, strict=True)]))


if __name__ == "__main__":
    main()
