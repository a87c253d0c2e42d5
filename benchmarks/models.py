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


def mask2former_pair():
    """(ours, transformers'), Mask2Former with a ResNet-50, 133 classes, random weights of the same architecture."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, ResNetConfig

    import backbonekit as bk

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    theirs = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=backbone, num_labels=133)).eval()
    return bk.build_model("mask2former_resnet50").eval(), theirs


def detr_pair():
    """(ours, transformers'), DETR with a ResNet-50, 91 classes, every decoder layer judged, the backbone's norms frozen
    in both. transformers' network with auxiliary losses has a norm between the layers, so ours has it too."""
    from transformers import DetrConfig, DetrForObjectDetection, TimmBackboneConfig

    import backbonekit as bk

    backbone = TimmBackboneConfig(backbone="resnet50", out_indices=[4], use_pretrained_backbone=False)
    theirs = DetrForObjectDetection(DetrConfig(backbone_config=backbone, num_labels=91, auxiliary_loss=True))
    ours = bk.build_model("detr_resnet50", ["head.norm_between=true"])
    bk.freeze(ours, stages=2, norms=True)
    return ours, theirs


def deformable_detr_pair():
    """(ours, transformers'), Deformable DETR with a ResNet-50, 91 classes, every decoder layer judged, norms of the
    backbone frozen in both."""
    from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, TimmBackboneConfig

    import backbonekit as bk

    backbone = TimmBackboneConfig(backbone="resnet50", out_indices=[2, 3, 4], use_pretrained_backbone=False)
    config = DeformableDetrConfig(backbone_config=backbone, num_labels=91, auxiliary_loss=True)
    ours = bk.build_model("deformable_detr_resnet50")
    bk.freeze(ours, stages=2, norms=True)
    return ours, DeformableDetrForObjectDetection(config)


def rt_detr_pair():
    """(ours, transformers'), RT-DETR v2 with a ResNet-50, 80 classes, norms of the backbone frozen in both."""
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    import backbonekit as bk

    ours = bk.build_model("rtdetr_v2_resnet50")
    bk.freeze(ours, norms=True)
    return ours, RTDetrV2ForObjectDetection(RTDetrV2Config(num_labels=80))


def picture(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
