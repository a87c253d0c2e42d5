"""(e) A training step (forward, loss, backward) of MaskFormer with a ResNet-50: 2 pictures of 20 masks each, with and
without the losses of earlier decoder layers."""

import torch

from benchmarks.measure import Row, compare
from benchmarks.models import maskformer_pair, picture

SIZE = 384
MASKS = 20


def run(repeats: int = 7) -> list[Row]:
    return [_step(repeats, auxiliary=False), _step(repeats, auxiliary=True)]


def _step(repeats: int, *, auxiliary: bool) -> Row:
    ours, theirs = maskformer_pair(auxiliary=auxiliary)
    ours.train()
    theirs.train()
    pixels = picture(SIZE, batch=2)
    generator = torch.Generator().manual_seed(1)
    labels = [torch.randint(0, 150, (MASKS,), generator=generator) for _ in range(2)]
    masks = [torch.rand(MASKS, SIZE, SIZE, generator=generator) > 0.8 for _ in range(2)]
    targets = [{"labels": some, "masks": kept} for some, kept in zip(labels, masks, strict=True)]

    def our_step() -> None:
        ours.zero_grad()
        ours(pixels, targets=targets).loss.backward()

    def their_step() -> None:
        theirs.zero_grad()
        truth = {"mask_labels": [kept.float() for kept in masks], "class_labels": labels}
        theirs(pixels, **truth, output_hidden_states=auxiliary).loss.backward()  # without them it cannot judge layers

    name = f"(e) training step, 2 x {MASKS} masks at {SIZE}" + (", auxiliary losses" if auxiliary else "")
    return compare(name, our_step, their_step, repeats=repeats, aim=0.8)
