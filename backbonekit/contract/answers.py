"""What kinds of answer a head can give. Post-processing, drawing and export go by these, never by the architecture.

Not frozen: Lightning sets their fields. Every tensor has the size that the reference model of the head's name gives;
resizing belongs to post-processing. `auxiliary` rides along for the loss and is None outside training.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output

Scoring = Literal["softmax", "softmax_with_null", "sigmoid"]


class Answer(FieldMapping):
    """A head's answer. `losses` is set only by a head whose loss is part of its forward.

    (The field lists below are the contract; this class is the name that they share.)
    """


@register_output
@dataclass(eq=False)
class ClassScores(Answer):
    """One class a picture. `logits`: [batch, classes], before softmax."""

    logits: Tensor


@register_output
@dataclass(eq=False)
class DenseLogits(Answer):
    """A class for every pixel. `logits`: [batch, classes, height, width], before softmax.

    `auxiliary`: logits of auxiliary heads, each [batch, classes, height, width].
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] | None = None


@register_output
@dataclass(eq=False)
class DenseDepth(Answer):
    """A distance for every pixel. `depth`: [batch, height, width]; metres if metric, else up to scale and shift."""

    depth: Tensor


@register_output
@dataclass(eq=False)
class MaskQueries(Answer):
    """A set of masks, each with a class.

    `class_logits`: [batch, queries, classes + 1], before softmax; the last column is "no object".
    `mask_logits`: [batch, queries, height, width], before sigmoid.
    `auxiliary`: the same two for every earlier decoder layer, first layer first.
    """

    class_logits: Tensor
    mask_logits: Tensor
    auxiliary: tuple["MaskQueries", ...] | None = None


@register_output
@dataclass(eq=False)
class BoxQueries(Answer):
    """A set of boxes, each with a class.

    `class_logits`: [batch, queries, classes (+ 1 with "no object", last)]; `scoring` on the head says which.
    `boxes_cxcywh`: [batch, queries, 4], centre and size, in [0, 1] of the picture without its padding.
    """

    class_logits: Tensor
    boxes_cxcywh: Tensor
    auxiliary: tuple["BoxQueries", ...] | None = None


@register_output
@dataclass(eq=False)
class ModelOutput(FieldMapping):
    """What a composed model returns.

    `feature_maps`: the backbone's maps, fine to coarse, each [batch, channels, height, width];
    of a model without a head those of its last neck.
    `predictions`: the head's answer; a dict of answers by task with several heads; None without a head.
    `loss`: scalar, the sum of `losses`; None without targets. `losses`: every weighted term by name, scalars.
    """

    feature_maps: tuple[Tensor, ...]
    predictions: Answer | dict[str, Answer] | None = None
    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
