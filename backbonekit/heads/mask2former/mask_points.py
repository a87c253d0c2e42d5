"""Masks compared at a few points instead of at every pixel.

Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.3;
github.com/facebookresearch/Mask2Former, mask2former/modeling/{criterion,matcher}.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import MaskQueries
from backbonekit.losses.mask_matching import MaskMatches, pairwise_mask_costs
from backbonekit.losses.mask_truth import MaskTruth
from backbonekit.losses.present_images import images_at
from backbonekit.ops.point_sampling import corners, random_points, sample_maps, sample_nearest, uncertain_points

# Drawn points that are worked on at once: on a CPU what fits its cache, on a GPU what fills it.
POINTS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}


@dataclass(frozen=True, slots=True)
class AtPoints:
    """Compares masks at `points` points of an image, never in its padding; ignored pixels count nowhere.

    Matching draws its points once for all layers, queries and masks. Learning draws `oversample` times as many for
    each pair and keeps those where the prediction is least sure, up to the share `importance`; the others are uniform.
    """

    points: int
    oversample: float
    importance: float

    def costs(
        self, layers: Sequence[MaskQueries], truth: MaskTruth, canvas: Canvas
    ) -> tuple[Float[Tensor, "layers rows queries masks"], Float[Tensor, "layers rows queries masks"]]:
        truth = truth.where_valid()
        logits = [truth.rows_of(layer.mask_logits) for layer in layers]
        points = random_points(1, self.points, logits[0]).expand(len(truth.images), -1, -1)
        extents = _extents(truth, canvas, points.dtype)
        if extents is not None:
            points = points * extents[:, None]
        masks = _all_masks_at(truth, points)
        valid = None
        if truth.valid is not None:
            valid = sample_nearest(truth.valid, torch.arange(len(points), device=points.device), points)
        pairwise = [pairwise_mask_costs(sample_maps(one, points), masks, valid, kind="cross_entropy") for one in logits]
        entropy, dice = zip(*pairwise, strict=True)
        return torch.stack(entropy), torch.stack(dice)

    def losses(
        self, logits: Float[Tensor, "pairs height width"], truth: MaskTruth, matches: MaskMatches, canvas: Canvas
    ) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
        truth = truth.where_valid()
        rows, targets = matches.rows.flatten(), matches.targets.flatten()
        extents = _extents(truth, canvas, logits.dtype)
        pairs = max(1, int(POINTS_AT_ONCE.get(logits.device.type, 2**26) // (self.points * self.oversample)))
        if torch.compiler.is_compiling() or logits.shape[0] <= 1:
            return self._losses(logits, truth, rows, targets, extents)
        pieces = zip(logits.split(pairs), rows.split(pairs), targets.split(pairs), strict=True)
        terms = [self._losses(some, truth, row, target, extents) for some, row, target in pieces]
        entropy, dice = zip(*terms, strict=True)
        return torch.cat(entropy), torch.cat(dice)

    def _losses(
        self, logits: Tensor, truth: MaskTruth, rows: Tensor, targets: Tensor, extents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        valid = truth.valid
        points = uncertain_points(
            logits,
            count=self.points,
            oversample=self.oversample,
            importance=self.importance,
            extents=None if extents is None else extents[rows],
            is_valid=None if valid is None else lambda drawn: sample_nearest(valid, rows, drawn),
        )
        given = sample_maps(logits[:, None], points)[:, 0]
        wanted = _masks_at(truth, rows, targets, points)
        entropy = functional.binary_cross_entropy_with_logits(given, wanted, reduction="none")
        probabilities = given.sigmoid()
        counts: Tensor | int = self.points
        if valid is not None:
            real = sample_nearest(valid, rows, points).to(given.dtype)
            counts = real.sum(1).clamp(min=1)
            entropy, probabilities, wanted = entropy * real, probabilities * real, wanted * real
        overlap, areas = (probabilities * wanted).sum(1), probabilities.sum(1) + wanted.sum(1)
        return entropy.sum(1) / counts, 1 - (2 * overlap + 1) / (areas + 1)


def _extents(truth: MaskTruth, canvas: Canvas, dtype: torch.dtype) -> Tensor | None:
    """Width and height of each row's image on its canvas, [rows, 2] in [0, 1]; None when nothing is padded."""
    if canvas.pixel_mask is None:
        return None
    real = images_at(canvas.pixel_mask, truth.images).bool()
    return torch.stack((real.any(1).to(dtype).mean(1), real.any(2).to(dtype).mean(1)), dim=-1)


def _all_masks_at(truth: MaskTruth, points: Tensor) -> Tensor:
    """Every mask of every row at the row's points [rows, points, 2], in [0, 1]: [rows, masks, points]."""
    total: Tensor | None = None
    for index, weights in corners(points, truth.size):
        if truth.segmentation is not None:
            found = truth.segmentation.flatten(1).gather(1, index)[:, None] == truth.labels[..., None]
        else:
            assert truth.masks is not None
            parts = truth.masks.flatten(1).split(truth.counts)
            found = pad_sequence([part[:, at] for part, at in zip(parts, index, strict=True)], batch_first=True)
        weighted = found * weights[:, None]
        total = weighted if total is None else total + weighted
    assert total is not None
    return total


def _masks_at(truth: MaskTruth, rows: Tensor, targets: Tensor, points: Tensor) -> Tensor:
    """One mask for each pair of row and target, at the pair's points [pairs, points, 2]: [pairs, points] in [0, 1].

    Read out of the masks at full size where they lie; a copy of each pair's mask would be most of the work.
    """
    height, width = truth.size
    source = truth.masks if truth.segmentation is None else truth.segmentation
    assert source is not None
    starts = (rows if truth.masks is None else truth.positions(rows, targets))[:, None] * (height * width)
    labels = truth.labels[rows, targets][:, None]
    total = torch.zeros_like(points[..., 0])
    for index, weights in corners(points, truth.size):
        found = source.take(starts + index)
        total += (found if truth.segmentation is None else found == labels) * weights
    return total
