"""Labels outside the classes, told as a sentence where that costs nothing."""

import torch
from torch import Tensor

from backbonekit.errors import ContractError


def check_labels(labels: Tensor, num_classes: int, *, key: str, ignore_label: int | None = None) -> None:
    """Raises ContractError for a label outside 0..num_classes-1.

    On the CPU alone: on an accelerator the question would stop the pipeline at every step, and the device's own assert
    answers it.
    """
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or labels.numel() == 0:
        return
    outside = (labels < 0) | (labels >= num_classes)
    if ignore_label is not None:
        outside &= labels != ignore_label
    if outside.any():
        wrong = sorted(set(labels[outside].tolist()))
        ignored = f", {ignore_label} is ignored" if ignore_label is not None else ""
        raise ContractError(
            f"targets: {key} holds the label{'s' if len(wrong) > 1 else ''} {', '.join(map(str, wrong[:5]))}; with "
            f"num_classes={num_classes} labels run from 0 to {num_classes - 1}{ignored} (background counts only "
            f"where it is a class of its own)."
        )
