"""How far a predicted mask is from the true one: focal loss and dice loss.

Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5; Milletari et al., "V-Net" (2016), section
3; both as in github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
"""

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

ALPHA = 0.25  # weight of mask pixels against background pixels; of both, gamma is 2


def focal_and_dice(
    logits: Float[Tensor, "pairs height width"],
    masks: Bool[Tensor, "pairs height width"],
    valid: Bool[Tensor, "pairs height width"] | None,
) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
    """The mean focal loss and the dice loss of every pair, over its valid pixels."""
    truth = masks.to(logits.dtype)
    # wrong: the probability of the wrong answer, sigmoid of the logit turned against the truth
    against = logits * (1 - 2 * truth)
    wrong = against.sigmoid()
    focal = -functional.logsigmoid(-against) * wrong.square() * ((1 - ALPHA) + (2 * ALPHA - 1) * truth)
    probabilities = logits.sigmoid()
    if valid is None:
        counts: Tensor | int = logits.shape[-2] * logits.shape[-1]
    else:
        real = valid.to(logits.dtype)
        counts = real.sum((1, 2)).clamp(min=1)
        focal, probabilities, truth = focal * real, probabilities * real, truth * real
    overlap = (probabilities * truth).sum((1, 2))
    areas = probabilities.sum((1, 2)) + truth.sum((1, 2))
    return focal.sum((1, 2)) / counts, 1 - (2 * overlap + 1) / (areas + 1)
