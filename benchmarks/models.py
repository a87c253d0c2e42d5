"""The pairs of models that are compared."""

import torch


def maskformer_pair(*, auxiliary: bool = False):
    """(ours, transformers'), MaskFormer with a ResNet-50, 150 classes, random weights of the same architecture.

    `auxiliary`: both judge every decoder layer in training, as transformers does with `use_auxiliary_loss`.
    """
    from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig

    import backbonekit as bk

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    config = MaskFormerConfig(backbone_config=backbone, num_labels=150, use_auxiliary_loss=auxiliary)
    theirs = MaskFormerForInstanceSegmentation(config).eval()
    overrides = [f"head.auxiliary={'raw' if auxiliary else 'none'}"]
    return bk.build_model("maskformer_resnet50", overrides).eval(), theirs


def picture(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
