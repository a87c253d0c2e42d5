"""Online hard example mining: which pixels of a batch the loss is taken of."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def hard_pixels(
    probabilities: Float[Tensor, "*shape"], counts: Bool[Tensor, "*shape"], *, threshold: float, least: int
) -> Bool[Tensor, "*shape"]:
    """The pixels that count and whose class has a probability below `threshold`; where these are fewer than `least`,
    the `least` pixels with the lowest probability (all that are as low as the last of them).

    `probabilities`: of each pixel's own class. `counts`: False for padding and ignored pixels.

    Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", 2016, for
    pixels as in mmsegmentation, core/seg/sampler/ohem_pixel_sampler.py.
    """
    hard = probabilities < threshold
    count = min(least, probabilities.numel())
    if count:
        # Pixels that do not count come last. Without a host sync: their number is known to the device alone.
        ranked = probabilities.masked_fill(~counts, torch.inf).flatten()
        hard = hard | (probabilities <= ranked.topk(count, largest=False, sorted=False).values.max())
    return hard & counts
