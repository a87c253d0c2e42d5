"""What a loading did, in transformers' form; and weights from memory instead of a file."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import Checkpoint


def loading_info(
    missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[tuple[str, Any, Any]] = ()
) -> dict[str, set[Any]]:
    """`missing_keys`: weights that start at random, `unexpected_keys`: weights that nothing uses, both by the names of
    `state_dict()`; `mismatched_keys`: weights of another shape, with the saved shape and that of the model.
    `error_msgs` is empty: an error is raised."""
    return {
        "missing_keys": set(missing),
        "unexpected_keys": set(unexpected),
        "mismatched_keys": set(mismatched),
        "error_msgs": set(),
    }


def fill_from(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Every weight of `model` by its own name. Raises WeightsError that says what is missing or does not fit."""
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise WeightsError(f"state_dict does not fit {type(model).__name__}: {error}") from error


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype | None:
    """Of the first weight that holds fractions."""
    types = (checkpoint.dtype(name) for name in checkpoint.tensors)
    return next((each for each in types if each.is_floating_point), None)


def mismatched_weights(model: nn.Module, checkpoint: Checkpoint) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Weights that the checkpoint has in another shape: our name, the saved shape, that of the model."""
    ours = model.state_dict()
    shared = [name for name in checkpoint.tensors if name in ours]
    return [
        (f"model.{name}", tuple(checkpoint.shape(name)), tuple(ours[name].shape))
        for name in shared
        if tuple(checkpoint.shape(name)) != tuple(ours[name].shape)
    ]


def missing_weights(model: ComposedModel, mismatched: Iterable[tuple[str, Any, Any]]) -> set[str]:
    """What started at random because the checkpoint lacks it, those of another shape apart."""
    report = model.weight_report
    fresh = [] if report is None else [f"model.{one.part}.{name}" for one in report.sources for name in one.fresh]
    return set(fresh) - {name for name, *_ in mismatched}
