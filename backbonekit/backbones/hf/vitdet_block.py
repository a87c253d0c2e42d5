"""A block of ViTDet: attention in windows or over the whole map, and a convolutional residual behind some blocks."""

from timm.layers import LayerNorm2d
from timm.models.vision_transformer_sam import Block, window_partition, window_unpartition
from torch import Tensor, nn


class ResidualBottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 with half the channels between them, beside the identity.

    Source: "Exploring Plain Vision Transformer Backbones for Object Detection", https://arxiv.org/abs/2203.16527.
    """

    def __init__(self, channels: int, activation: type[nn.Module]) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(channels, half, 1, bias=False)
        self.norm1 = LayerNorm2d(half)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.norm2 = LayerNorm2d(half)
        self.act2 = activation()
        self.conv3 = nn.Conv2d(half, channels, 1, bias=False)
        self.norm3 = LayerNorm2d(channels)
        nn.init.zeros_(self.norm3.weight)  # the identity at first

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        y = x.permute(0, 3, 1, 2)
        y = self.act1(self.norm1(self.conv1(y)))
        y = self.act2(self.norm2(self.conv2(y)))
        return x + self.norm3(self.conv3(y)).permute(0, 2, 3, 1)


class WindowThenDropBlock(Block):
    """timm's block drops a branch for each window by itself; the original, and transformers with it, for each image.

    `residual`: a `ResidualBottleneck` or the identity.
    """

    residual: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        size = (x.shape[1], x.shape[2])
        y = self.norm1(x)
        if self.window_size > 0:
            y, padded = window_partition(y, self.window_size)
            y = window_unpartition(self.attn(y), self.window_size, size, padded)
        else:
            y = self.attn(y)
        x = x + self.drop_path1(y)
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return self.residual(x)
