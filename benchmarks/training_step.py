"""(e) A training step (forward, loss, backward) on 2 images of 20 objects each, of every model in one table.

First with the same weights trained on both sides; then as each library has it: ours frozen as its recipe says, which is
what the papers did, transformers' as it is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Row, compare, keep_freed_memory
from benchmarks.models import (
    deformable_detr_pair,
    detr_pair,
    image,
    mask2former_pair,
    maskformer_pair,
    rt_detr_pair,
)

SIZE = 384
OBJECTS = 20
CLASSES = 80  # as many as the model with the fewest has


@dataclass(frozen=True)
class Trained:
    """`pair`: makes our model and transformers'. `reads`: what they are trained on. `theirs_also`: what transformers'
    forward takes besides."""

    pair: Callable[[], tuple[nn.Module, nn.Module]]
    reads: str
    theirs_also: Mapping[str, Any] = field(default_factory=dict)


_AUXILIARY = {"output_hidden_states": True}  # transformers' MaskFormer requires them for auxiliary losses

TRAINED = {
    "MaskFormer": Trained(maskformer_pair, "masks"),
    "MaskFormer, auxiliary losses": Trained(partial(maskformer_pair, auxiliary=True), "masks", _AUXILIARY),
    "Mask2Former": Trained(mask2former_pair, "masks"),
    "DETR": Trained(detr_pair, "boxes"),
    "Deformable DETR": Trained(deformable_detr_pair, "boxes"),
    "RT-DETR v2": Trained(rt_detr_pair, "boxes"),
    "MaskFormer, auxiliary losses, as each has it": Trained(
        partial(maskformer_pair, auxiliary=True, same=False), "masks", _AUXILIARY
    ),
    "Mask2Former, as each has it": Trained(partial(mask2former_pair, same=False), "masks"),
    "DETR, as each has it": Trained(partial(detr_pair, same=False), "boxes"),
    "Deformable DETR, as each has it": Trained(partial(deformable_detr_pair, same=False), "boxes"),
    "RT-DETR v2, as each has it": Trained(partial(rt_detr_pair, same=False), "boxes"),
}


def run(repeats: int = 7, names: Sequence[str] = tuple(TRAINED), size: int = SIZE) -> list[Row]:
    keep_freed_memory()
    return [_step(name, TRAINED[name], repeats, size) for name in names]


def _step(name: str, trained: Trained, repeats: int, size: int) -> Row:
    ours, theirs = trained.pair()
    ours.train()
    theirs.train()
    pixels = image(size, batch=2)
    generator = torch.Generator().manual_seed(1)
    labels = [torch.randint(0, CLASSES, (OBJECTS,), generator=generator) for _ in range(2)]
    targets, arguments = (_masks if trained.reads == "masks" else _boxes)(labels, size, generator)

    def our_step() -> None:
        ours.zero_grad()
        ours(pixels, targets=targets).loss.backward()

    def their_step() -> None:
        theirs.zero_grad()
        theirs(pixels, **arguments, **trained.theirs_also).loss.backward()

    what = f"(e) training step, {name}, 2 x {OBJECTS} {trained.reads} at {size}"
    return compare(what, our_step, their_step, repeats=repeats, aim=0.8)


def _masks(
    labels: list[Tensor], size: int, generator: torch.Generator
) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
    """Our targets, and transformers' arguments."""
    masks = [torch.rand(OBJECTS, size, size, generator=generator) > 0.8 for _ in labels]
    targets = [{"labels": some, "masks": kept} for some, kept in zip(labels, masks, strict=True)]
    return targets, {"mask_labels": [kept.float() for kept in masks], "class_labels": labels}


def _boxes(
    labels: list[Tensor], size: int, generator: torch.Generator
) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
    """Our targets with corners in pixels, and transformers' arguments with centre and size in [0, 1]."""
    corners = [torch.rand(OBJECTS, 2, 2, generator=generator) for _ in labels]
    ends = [(one.amin(1), one.amax(1)) for one in corners]
    targets = [
        {"labels": some, "boxes": torch.cat(pair, dim=1) * size} for some, pair in zip(labels, ends, strict=True)
    ]
    theirs = [
        {"class_labels": some, "boxes": torch.cat(((first + last) / 2, last - first), dim=1)}
        for some, (first, last) in zip(labels, ends, strict=True)
    ]
    return targets, {"labels": theirs}
