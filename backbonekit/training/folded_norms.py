"""Frozen norms that cost nothing: they become part of the kernels of the convolutions before them.

A batch norm that keeps its statistics is one factor and one shift a channel. Multiplied into the kernel anew in every
forward it gives the same maps and gradients, without a pass over the map, and without the copy of it that backward
would keep: of a residual network's activations that is nearly half.

Source: the algebra of torch/nn/utils/fusion.py: fuse_conv_bn_eval, which does it once, for inference.
"""

from collections import Counter
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from backbonekit.training.roles import GivesAnyMap, TakesImages

_SIDE = 224  # pixels of the image that shows the way; of any size would do, where the architecture lets it


class FoldedConvolution(nn.Conv2d):
    """A convolution that does the work of the frozen norm behind it, for as long as that is in eval mode."""

    # Not a module of its own, or its weights would be there under two names.
    norms: tuple[nn.BatchNorm2d]

    def forward(self, input: Tensor) -> Tensor:
        (norm,) = self.norms
        if norm.training:
            return super().forward(input)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight
        shift = -norm.running_mean if self.bias is None else self.bias - norm.running_mean
        shift = shift * factor if norm.bias is None else shift * factor + norm.bias
        return self._conv_forward(input, self.weight * factor[:, None, None, None], shift)


class FoldedBatchNorm2d(nn.BatchNorm2d):
    """The norm behind such a convolution."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.training else input


class FoldedBatchNormAct2d(BatchNormAct2d):
    """timm's, which also activates."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else self.act(self.drop(x))  # type: ignore[operator]


_FOLDED = {nn.BatchNorm2d: FoldedBatchNorm2d, BatchNormAct2d: FoldedBatchNormAct2d}


def fold_frozen_norms(backbone: nn.Module) -> int:
    """Folds every frozen norm that reads what one convolution gives, if nothing and nobody else reads that. In place.

    Who reads what is watched in one forward without numbers, so no architecture has to be known; one that cannot be
    run so keeps its norms. Returns how many norms were folded. Weights, their names and their gradients stay. A hook
    on such a convolution sees normalised maps from now on, and what wraps it (LoRA) works behind the norm: wrap first,
    and it stays as it is. A norm that is put back into train mode normalises again.
    """
    norms = [module for module in backbone.modules() if type(module) in _FOLDED and not _learns(module)]
    if not norms or not isinstance(backbone, TakesImages):
        return 0
    pairs = _watch(backbone, norms)
    for convolution, norm in pairs:
        norm.__class__ = _FOLDED[type(norm)]  # type: ignore[index]
        convolution.__class__ = FoldedConvolution
        convolution.norms = (norm,)  # type: ignore[assignment]
    return len(pairs)


def _learns(norm: nn.Module) -> bool:
    is_fixed = getattr(norm, "running_mean", None) is not None and not norm.training
    return not is_fixed or any(parameter.requires_grad for parameter in norm.parameters())


class _Flow(TorchFunctionMode):
    """Sees what convolutions give, and who reads that."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, nn.Conv2d] = {}  # by the address of the output
        self.held: list[Tensor] = []  # those outputs: an address belongs to one tensor only while it lives
        self.readers: Counter[int] = Counter()
        self.calls: Counter[nn.Module] = Counter()
        self.normalised: dict[nn.BatchNorm2d, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(out)):  # who asks for a size does not read
            given = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
            self.readers.update(given & self.made.keys())
        return out

    def after_convolution(self, convolution: nn.Conv2d, args: Any, out: Tensor) -> None:
        self.made[id(out)] = convolution
        self.held.append(out)
        self.calls[convolution] += 1

    def before_norm(self, norm: nn.BatchNorm2d, args: tuple[Tensor, ...]) -> None:
        self.calls[norm] += 1
        if id(args[0]) in self.made:
            self.normalised[norm] = id(args[0])

    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        found = [(self.made[output], norm) for norm, output in self.normalised.items() if self.readers[output] == 1]
        return [pair for pair in found if all(self.calls[part] == 1 for part in pair)]


def _watch(backbone: Any, norms: list[nn.Module]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    flow = _Flow()
    hooks = [norm.register_forward_pre_hook(flow.before_norm) for norm in norms]
    for module in backbone.modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros":
            hooks.append(module.register_forward_hook(flow.after_convolution))
    looked_at = _EveryMap(backbone)
    state = [*looked_at.named_parameters(), *looked_at.named_buffers()]
    weightless = {name: tensor.detach().to("meta") for name, tensor in state}
    height, width = getattr(backbone, "fixed_size", None) or (_SIDE, _SIDE)
    dtype = next(backbone.parameters()).dtype
    image = torch.empty(1, backbone.in_channels, height, width, dtype=dtype, device="meta")
    try:
        with torch.no_grad(), flow:
            given = torch.func.functional_call(looked_at, weightless, (image,))
    except Exception:  # whatever its modules raise: then nothing is known, and nothing is folded
        return []
    finally:
        for hook in hooks:
            hook.remove()
    flow.readers.update(id(leaf) for leaf in tree_leaves(given))  # who gets a map reads it too
    return flow.pairs()


class _EveryMap(nn.Module):
    """All maps that a backbone can be asked for, where it can give others than those that are selected now."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> Any:
        if isinstance(self.backbone, GivesAnyMap):
            return self.backbone.maps_at(image, range(self.backbone.built)).maps
        given = self.backbone(image)
        return getattr(given, "maps", given)
