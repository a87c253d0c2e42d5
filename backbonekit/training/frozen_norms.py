"""Batch norms with fixed statistics, as one multiplication and one addition."""

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that reads its statistics and never updates them: `x * scale + shift`, one of each per channel.

    The same maps and gradients as `nn.BatchNorm2d` in eval mode. That one keeps its input for the backward pass; here
    nothing is kept while weight and bias take no gradient. In a residual network this is about half of what backward
    keeps. Weight and bias may be set to learn again; then the input is kept. In train mode it is a plain batch norm.

    Source: detectron2/layers/batch_norm.py: FrozenBatchNorm2d.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.training else _scaled_and_shifted(self, input)


class FrozenBatchNormAct2d(BatchNormAct2d):
    """The same of timm's batch norm that is followed by its activation."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return self.act(self.drop(_scaled_and_shifted(self, x)))  # type: ignore[operator]


_FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: FrozenBatchNorm2d,
    BatchNormAct2d: FrozenBatchNormAct2d,
}


def replace_with_frozen(backbone: nn.Module, norms: set[nn.Module]) -> list[nn.Module]:
    """Puts a frozen batch norm in the position of each of `norms`, which are modules of the backbone. In place.

    The new module has the parameters, buffers, hooks and settings of the one it replaces, so names in the state dict do
    not change and optimisers that hold its parameters stay valid. Norms of other classes, and those whose forward was
    replaced by somebody else, stay as they are. Returns the norms that are now in those positions.
    """
    frozen = {norm: _frozen(norm) for norm in norms if type(norm) in _FROZEN and "forward" not in vars(norm)}
    for parent in list(backbone.modules()):
        for name, child in list(parent._modules.items()):  # all names, also of a norm that stands in two positions
            if child in frozen:
                parent.register_module(name, frozen[child])
    return [frozen.get(norm, norm) for norm in norms]


def _frozen(norm: nn.Module) -> nn.Module:
    kind = _FROZEN[type(norm)]
    made = kind.__new__(kind)
    made.__dict__.update(vars(norm))
    return made


def _scaled_and_shifted(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """x: [batch, channels, height, width]. The same shape and type."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    # In the type of the map, which under autocast is not that of the weights. One pass over the map.
    return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])
