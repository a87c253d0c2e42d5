"""A Swin block that pads before it shifts."""

from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, roll
from torch.nn.functional import pad


class PadThenShiftBlock(SwinTransformerBlock):
    """timm's block shifts the map and then pads it to whole windows; the original for detection, and transformers with
    it, pad first. The two agree where the map is a multiple of the window and nowhere else.

    Source: "Swin Transformer", https://arxiv.org/abs/2103.14030;
    https://github.com/SwinTransformer/Swin-Transformer-Object-Detection, mmdet/models/backbones/swin_transformer.py.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels], normalised. The same shape."""
        _, height, width, channels = x.shape
        window_height, window_width = self.window_size
        x = pad(x, (0, 0, 0, -width % window_width, 0, -height % window_height))
        _, padded_height, padded_width, _ = x.shape
        shift_down, shift_right = self.shift_size
        is_shifted = shift_down > 0 or shift_right > 0
        if is_shifted:
            x = roll(x, shifts=(-shift_down, -shift_right), dims=(1, 2))
        # [windows * batch, tokens in a window, channels]
        windows = window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=self.get_attn_mask(x))
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, padded_height, padded_width)
        if is_shifted:
            x = roll(x, shifts=(shift_down, shift_right), dims=(1, 2))
        return x[:, :height, :width].reshape(-1, height, width, channels)
