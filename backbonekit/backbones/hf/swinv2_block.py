"""A Swin V2 block that pads before it shifts."""

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2Block, window_partition, window_reverse
from torch import Tensor, roll
from torch.nn.functional import pad


class PadThenShiftV2Block(SwinTransformerV2Block):
    """timm's block shifts the map and then pads it to whole windows; transformers pads first. The two agree where the
    map is a multiple of the window and nowhere else.

    transformers adds the mask between shifted windows twice, in its whole model as in its backbone, and so does this.

    Source: "Swin Transformer V2", https://arxiv.org/abs/2111.09883; transformers/models/swinv2/modeling_swinv2.py.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """x: [batch, height, width, channels]. The same shape."""
        _, height, width, channels = x.shape
        window_height, window_width = self.window_size
        x = pad(x, (0, 0, 0, -width % window_width, 0, -height % window_height))
        padded = (x.shape[1], x.shape[2])
        shift_down, shift_right = self.shift_size
        mask: Tensor | None = None
        if shift_down > 0:
            x = roll(x, shifts=(-shift_down, -shift_right), dims=(1, 2))
            mask = 2 * self._mask(x)
        # [windows * batch, tokens in a window, channels]
        windows = window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=mask)
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, padded)
        if shift_down > 0:
            x = roll(x, shifts=(shift_down, shift_right), dims=(1, 2))
        return x[:, :height, :width].reshape(-1, height, width, channels)

    def _mask(self, x: Tensor) -> Tensor:
        mask = self.get_attn_mask(x)
        assert isinstance(mask, torch.Tensor), "a shifted block has a mask"
        return mask
