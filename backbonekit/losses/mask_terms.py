"""The terms of mask losses at full size: focal loss and dice loss.

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

# Pixels that are processed at once. A loss over all matched masks of all decoder layers at full size is bound by
# memory: on a CPU a piece should stay in its cache (1 MiB of float32), on a GPU 256 MiB are enough to fill it.
PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}


def mask_terms(
    logits: Float[Tensor, "pairs small_height small_width"],
    masks: Bool[Tensor, "pairs height width"],
    valid: Bool[Tensor, "pairs height width"] | None,
) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
    """The mean focal loss and the dice loss of every pair over its valid pixels, at the size of the masks.

    Differentiable once, in the logits. Pairs are processed in pieces, of which only sums are kept: faster than keeping
    ten maps at full size, with a fraction of the memory.
    """
    return _MaskTerms.apply(logits, masks, valid)  # type: ignore[no-any-return]


class _MaskTerms(torch.autograd.Function):
    """Both terms with an explicit gradient: autograd would read full-size maps more than twice as often."""

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
        # Weights of a pixel's focal term and of its wrong probability: off the mask, and the difference to those on it.
        factors = torch.stack((scale * (1 - ALPHA), scale * (2 * ALPHA - 1), by_wrong, by_missed))[..., None, None]
        size = (logits.shape[1], logits.shape[2])
        gradients = [
            _resized_back(_gradient(piece, *factors[:, piece.pairs]), size) for piece in _pieces(logits, masks, valid)
        ]
        return torch.cat(gradients) if gradients else torch.zeros_like(logits), None, None


@dataclass(slots=True)
class _Piece:
    """Some of the `pairs`, at the masks' size. `mask`, `real`: masks and valid pixels as numbers. `side`: -1 on the
    mask, 1 on the background. `wrong_logits`, `wrong`: logits and probability of the wrong label."""

    pairs: slice
    mask: Tensor
    side: Tensor
    wrong_logits: Tensor
    wrong: Tensor
    real: Tensor | None


def _pieces(logits: Tensor, masks: Tensor, valid: Tensor | None) -> Iterator[_Piece]:
    size = (masks.shape[-2], masks.shape[-1])
    at_once = _pairs_at_once(logits, masks)
    for start in range(0, logits.shape[0], at_once):
        pairs = slice(start, start + at_once)
        large = functional.interpolate(logits[pairs, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        mask = masks[pairs].to(large.dtype)
        side = 1 - 2 * mask
        wrong_logits = large * side
        real = None if valid is None else valid[pairs].to(large.dtype)
        yield _Piece(pairs, mask, side, wrong_logits, wrong_logits.sigmoid(), real)


def _pairs_at_once(logits: Tensor, masks: Tensor) -> int:
    pairs = max(1, logits.shape[0])
    if torch.compiler.is_compiling():
        return pairs  # a compiler fuses the operations itself
    at_once = PIXELS_AT_ONCE.get(logits.device.type, 2**26) // max(1, masks.shape[-2] * masks.shape[-1])
    # On a CPU one map is resized on one core.
    return min(pairs, max(at_once, torch.get_num_threads() if logits.device.type == "cpu" else 1))


def _softplus(wrong_logits: Tensor) -> Tensor:
    return functional.softplus(wrong_logits, threshold=40)  # linear above, to the last digit of float64


def _sums(piece: _Piece) -> Tensor:
    """[5, pairs], sums over valid pixels: focal terms, wrong probabilities, those on the mask, the mask, pixels."""
    focal = _softplus(piece.wrong_logits).mul_(piece.wrong).mul_(piece.wrong)
    wrong, mask = piece.wrong, piece.mask
    if piece.real is not None:
        focal, wrong, mask = focal.mul_(piece.real), wrong * piece.real, mask * piece.real
        counts = piece.real.sum((1, 2)).clamp(min=1)
    else:
        counts = wrong.new_full(wrong.shape[:1], wrong.shape[1] * wrong.shape[2])
    weighted = (1 - ALPHA) * focal.sum((1, 2)) + (2 * ALPHA - 1) * (focal * mask).sum((1, 2))
    missed = (wrong * mask).sum((1, 2))
    return torch.stack((weighted, wrong.sum((1, 2)), missed, mask.sum((1, 2)), counts))


def _dice_parts(wrong: Tensor, missed: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the overlap, and the areas of both masks, each and one. With P the predicted and T the target mask: on T,
    P is 1 - wrong; off T it is wrong."""
    overlap, predicted_area = area - missed, wrong - 2 * missed + area
    return 2 * overlap + 1, predicted_area + area + 1


def _gradient(piece: _Piece, focal: Tensor, focal_more: Tensor, dice: Tensor, dice_more: Tensor) -> Tensor:
    """The gradient in the enlarged logits, with the factors of pixels off the mask and the differences to those on it.

    With w the probability and s the softplus of the wrong label's logit, the focal term s w^2 has the derivative
    w^2 (w + 2 s (1 - w)), and w itself w (1 - w).
    """
    wrong, right = piece.wrong, 1 - piece.wrong
    gradient = _softplus(piece.wrong_logits).mul_(right).mul_(2).add_(wrong).mul_(wrong)
    gradient.mul_(torch.addcmul(focal, piece.mask, focal_more))
    gradient.add_(right.mul_(torch.addcmul(dice, piece.mask, dice_more))).mul_(wrong).mul_(piece.side)
    if piece.real is not None:
        gradient.mul_(piece.real)
    return gradient


def _resized_back(large: Tensor, size: tuple[int, int]) -> Tensor:
    """The gradient in maps from that in their bilinear enlargement, [pairs, *size].

    Two matrix products: by the profiler PyTorch's own kernel takes several times as long on a CPU, and its
    documentation lists it among those that are not deterministic on a GPU.
    """
    rows, columns = (_enlargement(size[side], large.shape[1 + side], large) for side in (0, 1))
    return rows @ (large @ columns.T)


def _enlargement(small: int, large: int, like: Tensor) -> Tensor:
    """The weights of each of `small` positions in each of `large` positions, [small, large]."""
    each_alone = torch.eye(small, dtype=like.dtype, device=like.device)[None]
    return functional.interpolate(each_alone, size=large, mode="linear", align_corners=False)[0]
