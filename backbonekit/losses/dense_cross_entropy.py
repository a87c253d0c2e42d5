"""Semantic segmentation's loss: cross-entropy of every pixel, with auxiliary predictions and losses of regions."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from backbonekit.contract.ignored_label import check_enough_labels, ignored_label
from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, ClassWeights, Count, IgnoreLabel, Probability, Range, Weight
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import RecipeError
from backbonekit.losses.class_maps import read_class_maps
from backbonekit.losses.lovasz import lovasz_hinge, lovasz_softmax
from backbonekit.losses.pixel_cross_entropy import pixel_cross_entropy
from backbonekit.losses.reduction import zero_loss
from backbonekit.losses.region_overlap import ClassSums, class_sums, dice_loss, tversky_loss
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.resize import resize_bilinear
from backbonekit.ops.targets import images_at

Gamma = Annotated[float, Range(0, 10)]


class DenseCrossEntropy(nn.Module):
    """Cross-entropy with the key `segmentation`, averaged over all pixels of the batch that count.

    A pixel counts unless it is padding or has the ignored label. Logits of another size are resized to the canvas.
    With one class the only logit is read by a sigmoid: the label 1 is the class, 0 everything else, and the
    cross-entropy is the binary one.

    `auxiliary_weight`: weight of each auxiliary prediction. `label_smoothing`: share of the target that is spread
    evenly over all classes; a larger one makes predictions less confident. `dice_weight`: weight of the dice loss of
    the main prediction, in which a small class counts as much as a large one; 0 turns it off. `cross_entropy_weight`:
    weight of the main prediction's cross-entropy; 0 turns it off. `class_weights`: one for each class, in the
    cross-entropy, which is divided by their sum over the pixels; with one class the weight of its pixels, where the
    others have 1. `focal_gamma`: exponent of the focal factor (1 - p) ** gamma on each pixel's cross-entropy; a larger
    one takes more weight from pixels that are right already. `hard_threshold`: pixels whose own class has at least this
    probability are left out of the cross-entropy (online hard example mining, usually 0.7); 1 keeps all.
    `num_hard_pixels`: at least this many pixels of a batch are kept, those with the lowest probability.
    `tversky_weight`: weight of the Tversky loss of the main prediction. `tversky_alpha`: in it, weight of pixels that
    are predicted beyond a class. `tversky_beta`: in it, weight of pixels that are missed; larger than alpha it finds
    more of a rare class. `lovasz_weight`: weight of the Lovasz-softmax loss of the main prediction, a surrogate of the
    intersection over union; of the Lovasz hinge with one class. `ignore_label`: the label of pixels without a class,
    from `processing.ignore_label`; 255, or -1 where that is a class.

    Source: torchvision/references/segmentation/train.py: criterion (auxiliary weight 0.5).
    """

    reads: ClassVar[Reads] = (("segmentation",),)
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        num_classes: Classes,
        auxiliary_weight: Weight = 0.5,
        label_smoothing: Probability = 0.0,
        dice_weight: Weight = 0.0,
        cross_entropy_weight: Weight = 1.0,
        class_weights: ClassWeights | None = None,
        focal_gamma: Gamma = 0.0,
        hard_threshold: Probability = 1.0,
        num_hard_pixels: Count = 100_000,
        tversky_weight: Weight = 0.0,
        tversky_alpha: Probability = 0.3,
        tversky_beta: Probability = 0.7,
        lovasz_weight: Weight = 0.0,
        ignore_label: IgnoreLabel | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.is_binary = num_classes == 1
        self.ignore_label = ignored_label(ignore_label, num_classes)
        self.has_assumed_label = ignore_label is None
        check_enough_labels(self.ignore_label, max(num_classes, 2), part="dense_cross_entropy")
        if not cross_entropy_weight + dice_weight + tversky_weight + lovasz_weight:
            raise RecipeError(
                "dense_cross_entropy: cross_entropy_weight, dice_weight, tversky_weight and lovasz_weight are all 0: "
                "nothing would be learned. The fix: a weight above 0 for one of them."
            )
        self.auxiliary_weight = auxiliary_weight
        self.label_smoothing = label_smoothing
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.focal_gamma = focal_gamma
        self.hard_threshold = hard_threshold
        self.num_hard_pixels = num_hard_pixels
        self.tversky_weight = tversky_weight
        self.tversky_alpha = tversky_alpha
        self.tversky_beta = tversky_beta
        self.lovasz_weight = lovasz_weight
        # A constant that moves with the model to its device; no weight that is saved.
        self.register_buffer("class_weights", _checked(class_weights, num_classes), persistent=False)

    @property
    def scoring(self) -> Scoring:
        """How the logits that it trains are read."""
        return "sigmoid" if self.is_binary else "softmax"

    def forward(self, prediction: DenseLogits, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns the terms that have a weight: `cross_entropy`, `dice`, `tversky`, `lovasz`; and
        `auxiliary_cross_entropy` where the prediction has auxiliary logits: scalars, weighted; 0 where no pixel
        counts."""
        labels, known = read_class_maps(
            targets,
            canvas,
            num_classes=self.num_classes,
            ignore_label=self.ignore_label,
            is_assumed=self.has_assumed_label,
            device=prediction.logits.device,
        )
        terms = self._main_terms(prediction.logits, labels, known)
        if prediction.auxiliary is not None:
            auxiliary = [self._cross_entropy(logits, labels, known) for logits in prediction.auxiliary]
            terms["auxiliary_cross_entropy"] = self.auxiliary_weight * sum(auxiliary[1:], auxiliary[0])
        return terms

    def _main_terms(self, logits: Tensor, labels: Tensor | None, known: list[int]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if self.cross_entropy_weight:
            cross_entropy = self._cross_entropy(logits, labels, known)
            terms["cross_entropy"] = (
                cross_entropy if self.cross_entropy_weight == 1 else self.cross_entropy_weight * cross_entropy
            )
        weights = {"dice": self.dice_weight, "tversky": self.tversky_weight, "lovasz": self.lovasz_weight}
        wanted = [name for name, weight in weights.items() if weight]
        if not wanted:
            return terms
        if labels is None:
            return terms | {name: zero_loss(logits) for name in wanted}
        logits = _on_canvas(logits, labels, known)
        if self.dice_weight or self.tversky_weight:
            sums = class_sums(self._columns(logits), labels, self.ignore_label)
            if self.is_binary:  # the region of everything else is no class
                sums = ClassSums(*(values[1:] for values in sums))
            if self.dice_weight:
                terms["dice"] = self.dice_weight * dice_loss(sums)
            if self.tversky_weight:
                tversky = tversky_loss(sums, alpha=self.tversky_alpha, beta=self.tversky_beta)
                terms["tversky"] = self.tversky_weight * tversky
        if self.lovasz_weight:
            lovasz = (
                lovasz_hinge(logits[:, 0], labels, self.ignore_label)
                if self.is_binary
                else lovasz_softmax(logits, labels, self.ignore_label)
            )
            terms["lovasz"] = self.lovasz_weight * lovasz
        return terms

    def _cross_entropy(
        self,
        logits: Float[Tensor, "batch classes height width"],
        labels: Int[Tensor, "known canvas_height canvas_width"] | None,
        known: list[int],
    ) -> Tensor:
        if labels is None:
            return zero_loss(logits)
        logits = self._columns(_on_canvas(logits, labels, known))
        return pixel_cross_entropy(
            logits,
            labels,
            ignore_label=self.ignore_label,
            label_smoothing=self.label_smoothing,
            class_weights=None if self.class_weights is None else self.class_weights.to(logits.dtype),
            focal_gamma=self.focal_gamma,
            hard_threshold=self.hard_threshold,
            num_hard_pixels=self.num_hard_pixels,
        )

    def _columns(self, logits: Tensor) -> Tensor:
        """A column for each label: a softmax over (0, logit) is the sigmoid of the logit."""
        return torch.cat([torch.zeros_like(logits), logits], dim=1) if self.is_binary else logits


def _checked(class_weights: tuple[float, ...] | None, num_classes: int) -> Tensor | None:
    if class_weights is None:
        return None
    if len(class_weights) != num_classes:
        raise RecipeError(
            f"dense_cross_entropy: class_weights has {len(class_weights)} numbers, one for each of the {num_classes} "
            f"class{'' if num_classes == 1 else 'es'} is right."
        )
    if not any(class_weights):
        raise RecipeError(
            "dense_cross_entropy: every one of class_weights is 0: nothing would be learned. The fix: a weight above 0 "
            "for at least one class, or class_weights=null."
        )
    return torch.tensor((1.0, *class_weights) if num_classes == 1 else class_weights, dtype=torch.float32)


def _on_canvas(logits: Tensor, labels: Tensor, known: list[int]) -> Tensor:
    """The logits of the images `known`, at the size of their labels."""
    logits = upcast_to_float32(images_at(logits, known))
    if logits.shape[-2:] == labels.shape[-2:]:
        return logits
    return resize_bilinear(logits, (labels.shape[-2], labels.shape[-1]))
