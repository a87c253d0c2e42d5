"""Maximum pooling that pads as TensorFlow does, with zeros."""

from timm.layers.padding import pad_same
from torch import Tensor, nn


class ZeroPaddedMaxPool2d(nn.MaxPool2d):
    """Pads so that every `stride` places give one, with zeros that take part in the maximum; timm pads with -inf.

    Source: "Big Transfer", https://arxiv.org/abs/1912.11370; transformers/models/bit/modeling_bit.py, BitMaxPool2d.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__(kernel_size, stride)

    def forward(self, input: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, channels, height / stride, width / stride], rounded up."""
        kernel, stride = [self.kernel_size] * 2, [self.stride] * 2
        return super().forward(pad_same(input, kernel, stride))  # type: ignore[arg-type]
