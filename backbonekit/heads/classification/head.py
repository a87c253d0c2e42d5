"""Classification head: scores of the classes of an image, from the deepest map."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Classes, Heads, Probability
from backbonekit.contract.predictions import ClassScores, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError

Pool = Literal["average", "attention", "class_token", "class_token_and_average"]


class ClassificationHead(nn.Module):
    """Pooling of the deepest map to one vector, then a linear layer. Padding is left out of the pooling.

    `num_classes`: 1 is one class, or not.
    `pool`: `average` over the map; `attention`: a learned query attends to the map, for probing frozen backbones;
    `class_token`: the first prefix token of a transformer; `class_token_and_average`: both, side by side (the linear
    probe of DINOv2).
    `norm`: layer norm of the pooled vector (ConvNeXt's classifier has one), or none (ResNet's).
    `num_heads`: of the `attention` pool; divides the map's channels.
    `dropout`: share of the pooled vector set to zero in training; a larger share regularises more.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016 (average); Liu et al., "A ConvNet for the
    2020s", 2022 (with norm); Oquab et al., "DINOv2", 2023 (token and average); timm/layers/classifier.py.
    """

    criterion: ClassVar[str | None] = "cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        pool: Pool = "average",
        norm: Literal["layer", "none"] = "none",
        num_heads: Heads = 8,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if not features.levels:
            raise ContractError("head classification requires one level, it receives none.")
        level = features.levels[-1]
        if pool in ("class_token", "class_token_and_average") and not level.prefix_tokens:
            raise ContractError(
                f"head classification: pool={pool} requires a class token; level {level.name} has none. The fix: "
                f"pool=average, or a transformer with a class token and no neck between."
            )
        if pool == "attention" and level.channels % num_heads:
            fix = max(count for count in range(1, num_heads + 1) if level.channels % count == 0)
            raise ContractError(
                f"head classification: num_heads={num_heads} does not divide the {level.channels} channels "
                f"of level {level.name}; {fix} is the nearest below that does."
            )
        self.pool = pool
        self.attention = AttentionPooling(level.channels, num_heads=num_heads) if pool == "attention" else None
        width = level.channels * (2 if pool == "class_token_and_average" else 1)
        self.norm = nn.LayerNorm(width, eps=1e-6) if norm == "layer" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """The deepest map, whatever its stride."""
        return Requirement(last=1)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> ClassScores:
        return ClassScores(self.classifier(self.dropout(self.norm(self._pooled(maps, canvas)))))

    def _pooled(self, maps: FeatureMaps, canvas: Canvas) -> Tensor:
        deepest = maps.maps[-1]
        if self.pool == "class_token":
            return _class_token(maps)
        mask = canvas.mask_at(deepest.shape[-2], deepest.shape[-1])
        if self.attention is not None:
            return self.attention(deepest, mask)
        average = masked_average(deepest, mask)
        return average if self.pool == "average" else torch.cat((_class_token(maps), average), dim=-1)


def _class_token(maps: FeatureMaps) -> Tensor:
    tokens = maps.prefix_tokens[-1]
    assert tokens is not None  # checked in the constructor
    return tokens[:, 0]


class AttentionPooling(nn.Module):
    """A learned query attends to every position; a residual feedforward layer follows. Keeps the width.

    `num_heads` divides `channels`.

    Source: Lee et al., "Set Transformer", 2019, section 3.2 (pooling by multihead attention);
    timm/layers/attention_pool.py: AttentionPoolLatent.
    """

    def __init__(self, channels: int, *, num_heads: int = 8) -> None:
        super().__init__()
        self.pool = AttentionPoolLatent(channels, num_heads=num_heads, norm_layer=nn.LayerNorm)

    def forward(
        self, maps: Float[Tensor, "batch channels height width"], mask: Bool[Tensor, "batch height width"] | None
    ) -> Float[Tensor, "batch channels"]:
        # tokens: [batch, height * width, channels]
        tokens = maps.flatten(2).transpose(1, 2)
        # attended: [batch, head, query, position]; every image has its top left position, so no row is empty
        attended = None if mask is None else mask.flatten(1)[:, None, None]
        return self.pool(tokens, attn_mask=attended)


def masked_average(
    maps: Float[Tensor, "batch channels height width"], mask: Bool[Tensor, "batch height width"] | None
) -> Float[Tensor, "batch channels"]:
    """The mean over the positions where `mask` is True; over all without a mask; zeros where no position is."""
    if mask is None:
        return maps.mean(dim=(-2, -1))
    dtype = torch.promote_types(maps.dtype, torch.float32)  # a sum over a map may be beyond float16
    # Filled, not multiplied: values in the padding may be infinite.
    total = maps.masked_fill(~mask[:, None], 0).sum(dim=(-2, -1), dtype=dtype)
    return (total / mask[:, None].sum(dim=(-2, -1), dtype=dtype).clamp(min=1)).to(maps.dtype)
