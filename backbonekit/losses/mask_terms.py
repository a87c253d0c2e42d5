"""How far predicted masks are from the true ones: focal loss and dice loss.

Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5; Milletari et al., "V-Net" (2016),
section 3; both as in github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

ALPHA = 0.25  # weight of mask pixels against background pixels in the focal loss; its gamma is 2

# Pixels that are worked on at once. A loss over all matched masks of all decoder layers at full size is bound by
# memory: on a CPU a piece should stay in its cache (1 MiB of float32), on a GPU 256 MiB are enough to fill it.
PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}


def mask_terms(
    logits: Float[Tensor, "pairs small_height small_width"],
    masks: Bool[Tensor, "pairs height width"],
    valid: Bool[Tensor, "pairs height width"] | None,
) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
    """The mean focal loss and the dice loss of every pair over its valid pixels, at the size of the masks.

    Differentiable once, in the logits. In pieces, of which only sums are kept: that is faster than to keep ten maps at
    full size, and takes a fraction of the memory.
    """
    return _MaskTerms.apply(logits, masks, valid)  # type: ignore[no-any-return]


class _MaskTerms(torch.autograd.Function):
    """The gradient is written out: that of recorded operations goes over full-size maps more than twice as often."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, masks: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        found = [_sums(piece) for piece in _pieces(logits, masks, valid)]
        sums = torch.cat(found, dim=1) if found else logits.new_zeros(5, 0)
        focal, wrong, missed, area, counts = sums
        ctx.save_for_backward(logits, masks, valid, sums)
        numerator, denominator = _dice_parts(wrong, missed, area)
        return focal / counts, 1 - numerator / denominator

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, focal_gradient: Tensor, dice_gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, masks, valid, (_, wrong, missed, area, counts) = ctx.saved_tensors
        numerator, denominator = _dice_parts(wrong, missed, area)
        by_wrong = dice_gradient * numerator / denominator**2
        by_missed = 2 * dice_gradient * (1 / denominator - numerator / denominator**2)
        scale = focal_gradient / counts
        # Of what a pixel's focal term and its wrong probability count: off the mask, and how much else on it.
        factors = torch.stack((scale * (1 - ALPHA), scale * (2 * ALPHA - 1), by_wrong, by_missed))[..., None, None]
        size = (logits.shape[1], logits.shape[2])
        gradients = [
            _resized_back(_gradient(piece, *factors[:, piece.pairs]), size) for piece in _pieces(logits, masks, valid)
        ]
        return torch.cat(gradients) if gradients else torch.zeros_like(logits), None, None


@dataclass(slots=True)
class _Piece:
    """Some `pairs` of all, at the masks' size. `truth`, `real`: masks and valid pixels as numbers. `side`: -1 on the
    mask, 1 on the background. `against`: logits of the wrong prediction; `wrong`: its probability."""

    pairs: slice
    truth: Tensor
    side: Tensor
    against: Tensor
    wrong: Tensor
    real: Tensor | None


def _pieces(logits: Tensor, masks: Tensor, valid: Tensor | None) -> Iterator[_Piece]:
    size = (masks.shape[-2], masks.shape[-1])
    at_once = _pairs_at_once(logits, masks)
    for start in range(0, logits.shape[0], at_once):
        pairs = slice(start, start + at_once)
        large = functional.interpolate(logits[pairs, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        truth = masks[pairs].to(large.dtype)
        side = 1 - 2 * truth
        against = large * side
        real = None if valid is None else valid[pairs].to(large.dtype)
        yield _Piece(pairs, truth, side, against, against.sigmoid(), real)


def _pairs_at_once(logits: Tensor, masks: Tensor) -> int:
    pairs = max(1, logits.shape[0])
    if torch.compiler.is_compiling():
        return pairs  # a compiler fuses the whole by itself
    at_once = PIXELS_AT_ONCE.get(logits.device.type, 2**26) // max(1, masks.shape[-2] * masks.shape[-1])
    # A CPU resizes one map on one core.
    return min(pairs, max(at_once, torch.get_num_threads() if logits.device.type == "cpu" else 1))


def _softplus(against: Tensor) -> Tensor:
    return functional.softplus(against, threshold=40)  # linear above, to the last digit of float64


def _sums(piece: _Piece) -> Tensor:
    """[5, pairs], over valid pixels: focal terms, wrong probabilities, those on the true mask, true mask, pixels."""
    focal = _softplus(piece.against).mul_(piece.wrong).mul_(piece.wrong)
    wrong, truth = piece.wrong, piece.truth
    if piece.real is not None:
        focal, wrong, truth = focal.mul_(piece.real), wrong * piece.real, truth * piece.real
        counts = piece.real.sum((1, 2)).clamp(min=1)
    else:
        counts = wrong.new_full(wrong.shape[:1], wrong.shape[1] * wrong.shape[2])
    weighted = (1 - ALPHA) * focal.sum((1, 2)) + (2 * ALPHA - 1) * (focal * truth).sum((1, 2))
    missed = (wrong * truth).sum((1, 2))
    return torch.stack((weighted, wrong.sum((1, 2)), missed, truth.sum((1, 2)), counts))


def _dice_parts(wrong: Tensor, missed: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the overlap, and the areas of both masks, each and one. With P the predicted and T the true mask: on T, P
    is 1 - wrong; off T it is wrong."""
    overlap, predicted_area = area - missed, wrong - 2 * missed + area
    return 2 * overlap + 1, predicted_area + area + 1


def _gradient(piece: _Piece, focal: Tensor, focal_more: Tensor, dice: Tensor, dice_more: Tensor) -> Tensor:
    """Of the enlarged logits, with the factors of pixels off the mask and how much more they are on it.

    With w the probability and s the softplus of the wrong prediction's logit, the focal term s w^2 has the derivative
    w^2 (w + 2 s (1 - w)), and w itself w (1 - w).
    """
    wrong, right = piece.wrong, 1 - piece.wrong
    gradient = _softplus(piece.against).mul_(right).mul_(2).add_(wrong).mul_(wrong)
    gradient.mul_(torch.addcmul(focal, piece.truth, focal_more))
    gradient.add_(right.mul_(torch.addcmul(dice, piece.truth, dice_more))).mul_(wrong).mul_(piece.side)
    if piece.real is not None:
        gradient.mul_(piece.real)
    return gradient


def _resized_back(large: Tensor, size: tuple[int, int]) -> Tensor:
    """The gradient of maps from that of their bilinear enlargement, [pairs, *size].

    Two matrix products: by the profiler PyTorch's own kernel takes several times as long on a CPU, and its
    documentation counts it among those that add in no fixed order on a GPU.
    """
    rows, columns = (_enlargement(size[side], large.shape[1 + side], large) for side in (0, 1))
    return rows @ (large @ columns.T)


def _enlargement(small: int, large: int, like: Tensor) -> Tensor:
    """The weights by which each of `large` places reads each of `small` ones, [small, large]."""
    each_alone = torch.eye(small, dtype=like.dtype, device=like.device)[None]
    return functional.interpolate(each_alone, size=large, mode="linear", align_corners=False)[0]
