"""Mask2Former's loss: a set of masks, matched and compared at sampled points instead of at every pixel.

Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.3;
github.com/facebookresearch/Mask2Former, mask2former/modeling/{criterion,matcher}.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, IgnoreLabel, Probability, Range, Weight
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.mask_matching import MaskMatches, pairwise_mask_costs
from backbonekit.losses.mask_set_losses import MaskWeights, mask_set_losses
from backbonekit.losses.mask_targets import MaskTargets
from backbonekit.ops.point_sampling import (
    bilinear_neighbours,
    random_points,
    sample_maps,
    sample_nearest,
    uncertain_points,
)
from backbonekit.ops.targets import images_at

# Drawn points that are processed at once: on a CPU as many as fit its cache, on a GPU as many as fill it.
POINTS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}

Points = Annotated[int, Range(1, 1_000_000)]
Oversample = Annotated[float, Range(1.0, 100.0)]


class PointMaskSetCriterion(nn.Module):
    """Cross-entropy of the classes, cross-entropy and dice loss of the masks at sampled points, after a one-to-one
    matching.

    Terms and targets are those of `mask_set`: `class`, `mask`, `dice`, and the same for every auxiliary prediction.
    Points are drawn by torch's generator, so a loss differs from call to call. They are on the image, never in its
    padding.

    `num_classes`: without "no object". `class_weight`, `mask_weight`, `dice_weight`: weights of the terms, and of
    the costs in the matching. `no_object_weight`: weight of queries without a mask in the cross-entropy.
    `num_points`: the number of points at which a mask is compared; 12544 are 112 x 112. `oversample`: `num_points`
    times this many are drawn to find those where the prediction is least certain. `importance`: the share of points
    that are found this way; the others are uniform. `ignore_label`: the label of pixels without a class in a
    segmentation, from `processing.ignore_label`; 255, or -1 where that is a class.

    Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.3;
    github.com/facebookresearch/Mask2Former, mask2former/modeling/criterion.py.
    """

    reads: ClassVar[Reads] = (("masks", "labels"), ("segmentation",))

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 2.0,
        mask_weight: Weight = 5.0,
        dice_weight: Weight = 5.0,
        no_object_weight: Probability = 0.1,
        num_points: Points = 12_544,
        oversample: Oversample = 3.0,
        importance: Probability = 0.75,
        ignore_label: IgnoreLabel | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = MaskWeights(class_weight, mask_weight, dice_weight, no_object_weight, class_weight)
        self.comparison = AtPoints(num_points, oversample, importance)
        self.ignore_label = ignored_label(ignore_label, num_classes)

    def forward(self, prediction: MaskQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns scalars by name. One transfer to the host, for the matching of all images and layers."""
        return mask_set_losses(
            prediction,
            targets,
            canvas,
            comparison=self.comparison,
            num_classes=self.num_classes,
            weights=self.weights,
            ignore_label=self.ignore_label,
        )


@dataclass(frozen=True, slots=True)
class AtPoints:
    """Compares masks at `points` points of an image, never in its padding; ignored pixels count in no term.

    The matching samples its points once for all layers, queries and masks. The loss draws `oversample` times as many
    for each pair and keeps those where the prediction is least certain, up to the share `importance`; the others are
    uniform.
    """

    points: int
    oversample: float
    importance: float

    def costs(
        self, layers: Sequence[MaskQueries], targets: MaskTargets, canvas: Canvas
    ) -> tuple[Float[Tensor, "layers rows queries masks"], Float[Tensor, "layers rows queries masks"]]:
        targets = targets.where_valid()
        logits = [targets.select_images(layer.mask_logits) for layer in layers]
        points = random_points(1, self.points, logits[0]).expand(len(targets.images), -1, -1)
        extents = _extents(targets, canvas, points.dtype)
        if extents is not None:
            points = points * extents[:, None]
        masks = _all_masks_at(targets, points)
        valid = None
        if targets.valid is not None:
            valid = sample_nearest(targets.valid, torch.arange(len(points), device=points.device), points)
        pairwise = [pairwise_mask_costs(sample_maps(one, points), masks, valid, kind="cross_entropy") for one in logits]
        entropy, dice = zip(*pairwise, strict=True)
        return torch.stack(entropy), torch.stack(dice)

    def losses(
        self, logits: Float[Tensor, "pairs height width"], targets: MaskTargets, matches: MaskMatches, canvas: Canvas
    ) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
        targets = targets.where_valid()
        rows, columns = matches.rows.flatten(), matches.targets.flatten()
        extents = _extents(targets, canvas, logits.dtype)
        pairs = max(1, int(POINTS_AT_ONCE.get(logits.device.type, 2**26) // (self.points * self.oversample)))
        if torch.compiler.is_compiling() or logits.shape[0] <= 1:
            return self._losses(logits, targets, rows, columns, extents)
        pieces = zip(logits.split(pairs), rows.split(pairs), columns.split(pairs), strict=True)
        terms = [self._losses(some, targets, row, column, extents) for some, row, column in pieces]
        entropy, dice = zip(*terms, strict=True)
        return torch.cat(entropy), torch.cat(dice)

    def _losses(
        self, logits: Tensor, targets: MaskTargets, rows: Tensor, columns: Tensor, extents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        valid = targets.valid
        points = uncertain_points(
            logits,
            count=self.points,
            oversample=self.oversample,
            importance=self.importance,
            extents=None if extents is None else extents[rows],
            is_valid=None if valid is None else lambda drawn: sample_nearest(valid, rows, drawn),
        )
        given = sample_maps(logits[:, None], points)[:, 0]
        target_masks = _masks_at(targets, rows, columns, points)
        entropy = functional.binary_cross_entropy_with_logits(given, target_masks, reduction="none")
        probabilities = given.sigmoid()
        counts: Tensor | int = self.points
        if valid is not None:
            real = sample_nearest(valid, rows, points).to(given.dtype)
            counts = real.sum(1).clamp(min=1)
            entropy, probabilities, target_masks = entropy * real, probabilities * real, target_masks * real
        overlap, areas = (probabilities * target_masks).sum(1), probabilities.sum(1) + target_masks.sum(1)
        return entropy.sum(1) / counts, 1 - (2 * overlap + 1) / (areas + 1)


def _extents(targets: MaskTargets, canvas: Canvas, dtype: torch.dtype) -> Tensor | None:
    """Width and height of each row's image on its canvas, [rows, 2] in [0, 1]; None when nothing is padded."""
    if canvas.pixel_mask is None:
        return None
    real = images_at(canvas.pixel_mask, targets.images).bool()
    return torch.stack((real.any(1).to(dtype).mean(1), real.any(2).to(dtype).mean(1)), dim=-1)


def _all_masks_at(targets: MaskTargets, points: Tensor) -> Tensor:
    """Every mask of every row at the row's points [rows, points, 2], in [0, 1]: [rows, masks, points]."""
    total: Tensor | None = None
    for index, weights in bilinear_neighbours(points, targets.size):
        if targets.segmentation is not None:
            found = targets.segmentation.flatten(1).gather(1, index)[:, None] == targets.labels[..., None]
        else:
            assert targets.masks is not None
            parts = targets.masks.flatten(1).split(targets.counts)
            found = pad_sequence([part[:, at] for part, at in zip(parts, index, strict=True)], batch_first=True)
        weighted = found * weights[:, None]
        total = weighted if total is None else total + weighted
    assert total is not None
    return total


def _masks_at(targets: MaskTargets, rows: Tensor, columns: Tensor, points: Tensor) -> Tensor:
    """The mask of each pair of row and column, at the pair's points [pairs, points, 2]: [pairs, points] in [0, 1].

    Sampled from the masks at full size without a copy of each pair's mask, which would be most of the work.
    """
    height, width = targets.size
    source = targets.masks if targets.segmentation is None else targets.segmentation
    assert source is not None
    starts = (rows if targets.masks is None else targets.positions(rows, columns))[:, None] * (height * width)
    labels = targets.labels[rows, columns][:, None]
    total = torch.zeros_like(points[..., 0])
    for index, weights in bilinear_neighbours(points, targets.size):
        found = source.take(starts + index)
        total += (found if targets.segmentation is None else found == labels) * weights
    return total
