"""The pairs of models that are compared."""

import torch


def maskformer_pair():
    """(ours, transformers'), MaskFormer with a ResNet-50, 150 classes, random weights of the same architecture."""
    from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig

    import backbonekit as bk

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    theirs = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=backbone, num_labels=150)).eval()
    return bk.build_model("maskformer_resnet50").eval(), theirs


def picture(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
