"""The terms of a loss under transformers' names.

Source: transformers/loss/loss_for_object_detection.py, loss_deformable_detr.py, loss_rt_detr.py, loss_d_fine.py.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_SETS = {"class": "loss_ce", "box": "loss_bbox", "giou": "loss_giou"}
_REAL_TIME = {**_SETS, "class": "loss_vfl", "edge": "loss_fgl", "distillation": "loss_ddf"}
_MASKS = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}
_NAMES: Mapping[str, Mapping[str, str]] = {
    "detr": _SETS,
    "deformable_detr": _SETS,
    "rt_detr": _REAL_TIME,
    "rt_detr_v2": _REAL_TIME,
    "d_fine": _REAL_TIME,
    "maskformer": _MASKS,
    "mask2former": _MASKS,
}
_TERM = re.compile(r"(?P<name>[a-z]+)(?:_(?P<kind>denoising|proposals))?(?:_(?P<layer>\d+))?")


def named_losses(model_type: str, losses: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """`losses`: our terms: `box`, of earlier layers `box_0`, of proposals `box_proposals`, of denoising queries
    `box_denoising_0`. The values stay the same: weighted, so that they sum to the loss."""
    if losses is None:
        return None
    return {_named(model_type, term, losses): loss for term, loss in losses.items()}


def _named(model_type: str, term: str, losses: Mapping[str, Tensor]) -> str:
    found = _TERM.fullmatch(term)
    assert found is not None
    name, kind, layer = _NAMES[model_type][found["name"]], found["kind"], found["layer"]
    if kind == "denoising":
        return f"{name}_dn_{layer}"
    if _NAMES[model_type] is not _REAL_TIME:
        return f"{name}_enc" if kind == "proposals" else name + ("" if layer is None else f"_{layer}")
    if kind == "proposals":  # they follow the earlier layers
        layer = sum(other.startswith("box_") and other[4:].isdecimal() for other in losses)
    return name if layer is None else f"{name}_aux_{layer}"
