"""The pairs of models that are compared."""

import torch


def maskformer_pair(*, auxiliary: bool = False, same: bool = True):
    """(ours, transformers'), MaskFormer with a ResNet-50, 150 classes, random weights of the same architecture.

    `auxiliary`: both compute a loss on every decoder layer, as transformers does with `use_auxiliary_loss`. `same`:
    nothing is frozen in either, as in transformers; else ours is frozen as in its recipe: the norms.
    """
    from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig

    import backbonekit as bk

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    config = MaskFormerConfig(backbone_config=backbone, num_labels=150, use_auxiliary_loss=auxiliary)
    theirs = MaskFormerForInstanceSegmentation(config).eval()
    overrides = [f"head.auxiliary={'raw' if auxiliary else 'none'}"]
    ours = bk.build_model("maskformer_resnet50", overrides)
    return ours if same else as_advised(ours), theirs


def mask2former_pair(*, same: bool = True):
    """(ours, transformers'), Mask2Former with a ResNet-50, 133 classes, random weights of the same architecture. `same`
    as of `maskformer_pair`."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, ResNetConfig

    import backbonekit as bk

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    theirs = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=backbone, num_labels=133)).eval()
    ours = bk.build_model("mask2former_resnet50")
    return ours if same else as_advised(ours), theirs


def detr_pair(*, same: bool = True):
    """(ours, transformers'), DETR with a ResNet-50, 91 classes, a loss on every decoder layer. transformers' network
    with auxiliary losses has a norm between the layers, so ours has it too.

    Ours is frozen as in its recipe and the paper: norms, stem and first stage. transformers freezes the norms alone;
    with `same` also those stages.
    """
    from transformers import DetrConfig, DetrForObjectDetection, TimmBackboneConfig

    import backbonekit as bk

    backbone = TimmBackboneConfig(backbone="resnet50", out_indices=[4], use_pretrained_backbone=False)
    theirs = DetrForObjectDetection(DetrConfig(backbone_config=backbone, num_labels=91, auxiliary_loss=True))
    ours = bk.build_model("detr_resnet50", ["head.norm_between=true"])
    return _frozen(ours, theirs, same)


def deformable_detr_pair(*, same: bool = True):
    """(ours, transformers'), Deformable DETR with a ResNet-50, 91 classes, a loss on every decoder layer; frozen as
    `detr_pair` is."""
    from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, TimmBackboneConfig

    import backbonekit as bk

    backbone = TimmBackboneConfig(backbone="resnet50", out_indices=[2, 3, 4], use_pretrained_backbone=False)
    config = DeformableDetrConfig(backbone_config=backbone, num_labels=91, auxiliary_loss=True)
    return _frozen(bk.build_model("deformable_detr_resnet50"), DeformableDetrForObjectDetection(config), same)


def rt_detr_pair(*, same: bool = True):
    """(ours, transformers'), RT-DETR v2 with a ResNet-50, 80 classes. Ours is frozen as in its recipe: norms and
    stem. transformers freezes the norms alone; with `same` also the stem."""
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    import backbonekit as bk

    return _frozen(
        bk.build_model("rtdetr_v2_resnet50"), RTDetrV2ForObjectDetection(RTDetrV2Config(num_labels=80)), same
    )


def as_advised(model):
    """Our model, frozen as in its recipe."""
    import backbonekit as bk

    bk.freeze(model, **model.recipe.training["freeze"])
    return model


def _frozen(ours, theirs, same: bool):
    """Our model frozen as in its recipe; with `same`, as many stages of theirs are frozen."""
    stages = ours.recipe.training["freeze"]["stages"]
    as_advised(ours)
    if same:
        learning = ("layer2", "layer3", "layer4") if stages == 2 else ("encoder",)  # the layers behind those stages
        backbone = {name: one for name, one in theirs.named_parameters() if "backbone" in name}
        for name, parameter in backbone.items():
            parameter.requires_grad_(any(part in name for part in learning))
        trained = [sum(one.requires_grad for one in part) for part in (ours.backbone.parameters(), backbone.values())]
        assert trained[0] == trained[1], f"weights of the backbone that are trained, ours and theirs: {trained}"
    return ours, theirs


def image(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
