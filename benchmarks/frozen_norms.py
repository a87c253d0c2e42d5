"""(h) Memory kept for the backward pass of a ResNet-50 with frozen batch norms, and time of a forward and backward.

Ours are the norms that `bk.freeze(..., norms=True)` makes; the reference is the same model with `nn.BatchNorm2d` in
eval mode. Until these norms were modules of their own, they were folded into the kernels of the convolutions before
them: measured in the same way, that kept 623 MB at 800 pixels and 178 MB at 320.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.measure import Row, compare, keep_freed_memory, row
from benchmarks.models import image

SIZES = (320, 800)
TIMED = 512


def run(repeats: int = 7) -> list[Row]:
    import backbonekit as bk

    keep_freed_memory()
    theirs = bk.build_model(
        "maskformer_resnet50", ["neck=null", "head=null", "backbone.out_indices=[1,2,3,4]"]
    ).backbone
    ours = copy.deepcopy(theirs)
    bk.freeze(ours, norms=True)
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.requires_grad_(False)
    rows = []
    for size in SIZES:
        kept = [kept_megabytes(model, image(size)) for model in (ours, theirs)]
        rows.append(row(f"(h) kept for backward at {size}", [kept[0]], [kept[1]], unit="MB", aim=0.6))
    steps = partial(_step, ours, image(TIMED)), partial(_step, theirs, image(TIMED))
    rows.append(compare(f"(h) forward and backward at {TIMED}", *steps, repeats=repeats, aim=1.0))
    return rows


def kept_megabytes(model: nn.Module, pixels: Tensor) -> float:
    """Storage of all tensors that one forward saves for the backward pass, without the model's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # an address belongs to one storage only while it lives
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = model(pixels).maps
    del maps
    return sum(kept.values()) / 1e6


def _step(model: nn.Module, pixels: Tensor) -> None:
    model.zero_grad()
    torch.stack([each.square().mean() for each in model(pixels).maps]).sum().backward()
