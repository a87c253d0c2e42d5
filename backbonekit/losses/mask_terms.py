"""How far predicted masks are from the true ones: focal loss and dice loss.

Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5; Milletari et al., "V-Net" (2016),
section 3; both as in github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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

    In pieces whose intermediate maps are thrown away and computed again for the gradient: that is faster than to keep
    ten maps at full size, and takes a fraction of the memory.
    """
    height, width = masks.shape[-2:]
    pairs = max(1, PIXELS_AT_ONCE.get(logits.device.type, 2**26) // (height * width))
    if torch.compiler.is_compiling() or logits.shape[0] <= 1:
        return _terms(logits, masks, valid)  # a compiler fuses the whole by itself
    pieces = zip(
        logits.split(pairs),
        masks.split(pairs),
        [None] * logits.shape[0] if valid is None else valid.split(pairs),
        strict=False,
    )
    terms = [checkpoint(_terms, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]
    focal, dice = zip(*terms, strict=True)
    return torch.cat(focal), torch.cat(dice)


def _terms(logits: Tensor, masks: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    large = functional.interpolate(logits[:, None], size=masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    truth = masks.to(large.dtype)
    side = 1 - 2 * truth  # -1 on the mask, 1 on the background
    against = large * side
    wrong = against.sigmoid()  # the probability given to the wrong answer
    # 40: softplus is linear above, to the last digit of float64.
    focal = functional.softplus(against, threshold=40) * wrong.square() * (0.5 + (0.5 - ALPHA) * side)
    counts: Tensor | int = masks.shape[-2] * masks.shape[-1]
    if valid is not None:
        real = valid.to(large.dtype)
        counts = real.sum((1, 2)).clamp(min=1)
        focal, wrong, truth = focal * real, wrong * real, truth * real
    # With P the predicted and T the true mask: on T, P is 1 - wrong; off T it is wrong.
    true_area, missed = truth.sum((1, 2)), (wrong * truth).sum((1, 2))
    overlap = true_area - missed
    predicted_area = wrong.sum((1, 2)) - 2 * missed + true_area
    return focal.sum((1, 2)) / counts, 1 - (2 * overlap + 1) / (predicted_area + true_area + 1)
