"""Which images a timm architecture takes: tried on the meta device, where a forward pass costs milliseconds.

Shapes that do not fit show there. What depends on values does not (an index beyond a table of positions); such
architectures stand in `levels.py`, and the slow tests compare all modules with real tensors.
"""

import math
from collections.abc import Sequence

import torch

from backbonekit.backbones.timm.backbone import TimmBackbone

_ODD = (131, 87)  # a multiple of nothing
_FACTORS = (1, 2, 3, 4, 7, 8)  # of the coarsest stride; halo attention requires whole blocks of 8 positions


def size_multiple(backbone: TimmBackbone, strides: Sequence[float]) -> int:
    """The smallest known number whose multiples an image's sides can be; 0 where the architecture's own size alone is
    taken. `backbone`: on the meta device. `strides`: of its levels."""
    coarsest = math.lcm(*(round(stride) for stride in strides))
    for multiple in (1, *(factor * coarsest for factor in _FACTORS)):
        if takes(backbone, size_of(multiple)):
            return multiple
    return 0


def size_of(multiple: int) -> tuple[int, int]:
    """(height, width) of a test image for sides that are multiples of a number: of nothing else."""
    return _ODD if multiple == 1 else (3 * multiple, 5 * multiple)


def takes(backbone: TimmBackbone, size: tuple[int, int]) -> bool:
    """Whether a backbone on the meta device runs on images of (height, width)."""
    with torch.no_grad():
        try:
            backbone(torch.empty(1, backbone.in_channels, *size, device="meta"))
        except Exception:  # torch and timm raise errors of many classes for a size that does not fit
            return False
    return True
