"""The last layers of a fully convolutional head, whose main and auxiliary predictions share them."""

from jaxtyping import Float
from torch import Tensor, nn


class DenseClassifier(nn.Module):
    """3x3 convolution, batch norm, ReLU, dropout, 1x1 convolution to classes; keeps the map's size.

    `channels`: hidden width; a quarter of the map's own when None.

    Source: torchvision/models/segmentation/fcn.py: FCNHead.
    """

    def __init__(self, in_channels: int, channels: int | None, num_classes: int, dropout: float) -> None:
        super().__init__()
        width = channels or max(in_channels // 4, 1)
        self.convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        return self.classifier(self.dropout(self.norm(self.convolution(maps)).relu_()))
