"""(c) Forward of MaskFormer with a ResNet-50, one image of 384 and of 800 pixels."""

from functools import partial

import torch

from benchmarks.measure import Row, compare
from benchmarks.models import image, maskformer_pair


def run(repeats: int = 9) -> list[Row]:
    ours, theirs = maskformer_pair()
    rows = []
    with torch.inference_mode():
        for size in (384, 800):
            pixels = image(size)
            calls = partial(ours, pixels), partial(theirs, pixels)
            rows.append(compare(f"(c) forward at {size}", *calls, repeats=repeats, aim=1.0))
    return rows
