"""Transformer blocks of ViTPose++: some channels of the feedforward layer come from an expert for the image's data set.

Source: Xu et al., "ViTPose++: Vision Transformer for Generic Body Pose Estimation" (2022), section 3.4;
transformers/models/vitpose_backbone/modeling_vitpose_backbone.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from backbonekit.errors import ContractError


class ExpertMlp(nn.Module):
    """Two linear layers; the last `expert_channels` of the result are those of one of `num_experts` linear layers."""

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        *,
        num_experts: int,
        expert_channels: int,
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.act = activation()
        self.fc2 = nn.Linear(hidden_channels, channels - expert_channels)
        self.experts = nn.ModuleList(nn.Linear(hidden_channels, expert_channels) for _ in range(num_experts))
        for layer in (self.fc1, self.fc2, *self.experts):
            nn.init.trunc_normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "batch positions channels"], dataset_index: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch positions channels"]:
        hidden = self.act(self.fc1(x))
        # The chosen expert of each image: [batch, expert channels, hidden channels] and [batch, 1, expert channels]
        weights = torch.stack([expert.weight for expert in self.experts])[dataset_index]  # type: ignore[arg-type]
        biases = torch.stack([expert.bias for expert in self.experts])[dataset_index][:, None]  # type: ignore[arg-type]
        return torch.cat([self.fc2(hidden), hidden @ weights.transpose(1, 2) + biases], dim=-1)


class ExpertBlock(nn.Module):
    """Attention and feedforward layer with residual connections, each after a norm. `block`: where all but the
    feedforward layer is taken from."""

    def __init__(self, block: Block, mlp: ExpertMlp) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = block.norm1, block.attn, block.norm2
        self.mlp = mlp

    def forward(self, x: Tensor, dataset_index: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x), dataset_index)


def num_experts(backbone: nn.Module) -> int:
    """How many experts the blocks of a backbone have; 1 where it is no mixture."""
    counts = (len(module.experts) for module in backbone.modules() if isinstance(module, ExpertMlp))
    return next(counts, 1)


def chosen_experts(body: nn.Module, batch: int, device: torch.device) -> Tensor:
    """int64 [batch]: what `experts_of` chose, else the first expert, of the data set that comes first (COCO)."""
    chosen: Tensor | None = body.dataset_index  # type: ignore[assignment]
    return torch.zeros(batch, dtype=torch.int64, device=device) if chosen is None else chosen


@contextmanager
def experts_of(backbone: nn.Module, dataset_index: Tensor | None, batch: int) -> Iterator[None]:
    """Within the block, image i of a batch is seen by the experts with the number `dataset_index[i]`.

    Raises ContractError for a mixture without a choice, a choice without a mixture, and a choice that is not there.
    """
    experts = num_experts(backbone)
    if experts == 1:
        if dataset_index is not None:
            raise ContractError("dataset_index chooses among the experts of a ViTPose++, and this model has none.")
        yield
        return
    body: nn.Module = backbone.body  # type: ignore[assignment]
    body.dataset_index = _checked(dataset_index, experts, batch)
    try:
        yield
    finally:
        body.dataset_index = None  # type: ignore[assignment]


def _checked(dataset_index: Tensor | None, experts: int, batch: int) -> Tensor:
    if dataset_index is None:
        raise ContractError(
            f"this model has {experts} experts, one for each data set that it was trained on: dataset_index=, int64"
            " [batch], is required (0 for COCO in the published models)."
        )
    if tuple(dataset_index.shape) != (batch,) or dataset_index.is_floating_point():
        raise ContractError(
            f"dataset_index is {dataset_index.dtype} {list(dataset_index.shape)}; int64 [{batch}] is expected."
        )
    if not 0 <= int(dataset_index.min()) <= int(dataset_index.max()) < experts:
        raise ContractError(f"dataset_index {dataset_index.tolist()[:8]} must be from 0 to {experts - 1}.")
    return dataset_index.long()
