"""Small models of every kind that training has to deal with."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from backbonekit.backbones.hf.blueprint import blueprint as hf_blueprint
from backbonekit.backbones.timm.blueprint import blueprint as timm_blueprint

SIZE = (64, 64)


def timm_resnet() -> nn.Module:
    arguments = {"layers": (1, 1, 1, 1), "channels": (8, 8, 8, 8), "drop_path_rate": 0.2}
    return _timm("resnet18", arguments, (1, 2, 3, 4))


def timm_vit() -> nn.Module:
    return _timm("vit_tiny_patch16_224", {"depth": 4, "embed_dim": 24, "num_heads": 2, "drop_path_rate": 0.5}, (1, 3))


def timm_convnext() -> nn.Module:
    return _timm("convnext_atto", {"depths": (1, 1, 2, 1), "dims": (8, 8, 8, 8), "drop_path_rate": 0.5}, (0, 1, 2, 3))


def timm_poolformer() -> nn.Module:
    """Timm has no patterns of names for it."""
    return _timm("poolformer_s12", {}, (0, 1, 2, 3))


def hf_resnet() -> nn.Module:
    config = {"model_type": "resnet", "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "layer_type": "basic"}
    return _hf(config, (1, 2, 3, 4))


def hf_swin() -> nn.Module:
    config = {
        "model_type": "swin",
        "depths": [1, 1, 2, 1],
        "embed_dim": 8,
        "num_heads": [1, 1, 2, 2],
        "window_size": 7,
        "image_size": 64,
    }
    return _hf(config, (1, 2, 3, 4))


def hf_dinov2() -> nn.Module:
    config = {
        "model_type": "dinov2",
        "num_hidden_layers": 3,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "image_size": 56,
    }
    return _hf(config, (3,))


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    made.__name__: made
    for made in (timm_resnet, timm_vit, timm_convnext, timm_poolformer, hf_resnet, hf_swin, hf_dinov2)
}


class WithHead(nn.Module):
    """What a composed model looks like from outside: a backbone, and something on it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = nn.ModuleList([nn.Conv2d(backbone.features.levels[-1].channels, 6, 1), nn.BatchNorm2d(6)])
        self.head = nn.ModuleDict({"queries": nn.Embedding(3, 6), "classes": nn.Linear(6, 4)})

    def forward(self, pixel_values: Tensor) -> Tensor:
        level = self.backbone(pixel_values).maps[-1]
        for layer in self.neck:
            level = layer(level)
        pooled = level.mean(dim=(-2, -1))[:, None] + self.head["queries"].weight
        return self.head["classes"](pooled)


def train_step(model: nn.Module, lr: float = 0.1) -> None:
    """One step of gradient descent on noise, in train mode."""
    model.train()
    optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=lr)
    total(model(torch.randn(2, 3, *SIZE))).backward()
    optimizer.step()
    optimizer.zero_grad()


def total(output) -> Tensor:
    """A scalar that every map has a part in."""
    return output.square().sum() if isinstance(output, Tensor) else sum(level.square().sum() for level in output.maps)


def _timm(name: str, arguments: dict, indices: tuple[int, ...]) -> nn.Module:
    return timm_blueprint(name, config=None, revision=None, in_channels=3, args=arguments).construct(indices)


def _hf(config: dict, indices: tuple[int, ...]) -> nn.Module:
    return hf_blueprint(None, config=config, revision=None, in_channels=3, args={}).construct(indices)
