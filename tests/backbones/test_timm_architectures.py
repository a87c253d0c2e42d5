"""Architectures of timm of every kind under the tests that every backbone passes; timm's own small test models."""

from tests.backbones.backbone_tester import BackboneTester


class TestResNet(BackboneTester):
    source = "timm"
    name = "test_resnet"
    exports = True


class TestEfficientNet(BackboneTester):
    source = "timm"
    name = "test_efficientnet"


class TestConvNeXt(BackboneTester):
    source = "timm"
    name = "test_convnext"


class TestVisionTransformer(BackboneTester):
    source = "timm"
    name = "test_vit2"
    exports = True


class TestSwin(BackboneTester):
    """Channels-last inside."""

    source = "timm"
    name = "swin_tiny_patch4_window7_224"
    args = {"embed_dim": 24, "depths": [1, 2, 1], "num_heads": [2, 4, 4], "window_size": 4, "img_size": 64}


class TestBeit(BackboneTester):
    """One image size only."""

    source = "timm"
    name = "beit_base_patch16_224"
    args = {"img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 2}
    sizes = ((64, 64),)
