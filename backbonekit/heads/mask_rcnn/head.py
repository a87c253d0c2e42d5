"""Mask R-CNN: Faster R-CNN with a mask for each region."""

from typing import ClassVar

from backbonekit.contract.targets import Reads
from backbonekit.heads.faster_rcnn.head import FasterRCNNHead


class MaskRCNNHead(FasterRCNNHead):
    """A region proposal network on all levels; on the features of each region one network for boxes and one for masks.

    Options are those of `faster_rcnn`; there is one more loss, `mask`.

    Source: He et al., "Mask R-CNN" (2017), over the pyramid of Lin et al. (2017);
    torchvision/models/detection/mask_rcnn.py.
    """

    name: ClassVar[str] = "mask_rcnn"
    has_masks: ClassVar[bool] = True
    reads: ClassVar[Reads] = (("boxes", "labels", "masks"),)
