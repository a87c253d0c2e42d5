"""Weights of a saved model as initial weights: after a change of parts, those that fit are kept, the rest is random."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backbonekit.recipe.recipe import Recipe
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.fill import Adapt, FillReport, not_finite


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """A saved model to start from: its weights under our names, and the recipe that they belong to. `random`: those of
    them that were never trained, and `bases`: what they started from, as in `Manifest`; None: the checkpoint itself."""

    checkpoint: Checkpoint
    recipe: Recipe
    random: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, BaseWeights] | None = None


def fill_matching(module: nn.Module, checkpoint: Checkpoint, *, adapt: Adapt | None = None) -> FillReport:
    """Copies every tensor of the same name and shape, or that `adapt` brings to that shape, into a constructed module.

    The others keep the values of the construction and are `missing` in the report.
    """
    tensors = module.state_dict(keep_vars=True)
    report = FillReport(checkpoint.origin, surplus=[key for key in checkpoint if key not in tensors])
    report.total_parameters = sum(parameter.numel() for parameter in module.parameters())
    parameters = {name for name, _ in module.named_parameters()}
    kept: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, tensor in tensors.items():
            stored = _fitting(name, tuple(tensor.shape), checkpoint, adapt, report)
            if stored is None:
                report.missing.append(name)
                continue
            tensor.copy_(stored)
            kept[name] = tensor
            report.loaded.append(name)
            report.loaded_parameters += tensor.numel() if name in parameters else 0
        report.not_finite = not_finite(kept)
    return report


def _fitting(
    name: str, shape: tuple[int, ...], checkpoint: Checkpoint, adapt: Adapt | None, report: FillReport
) -> Tensor | None:
    if name not in checkpoint:
        return None
    if checkpoint.shape(name) == shape:
        return checkpoint.tensor(name)
    adapted = adapt(name, checkpoint.tensor(name), shape) if adapt is not None else None
    if adapted is None:
        return None
    tensor, how = adapted
    report.adapted.append((name, how))
    return tensor
