"""ClassificationHead: the head's contract with every pool, padding, equality with timm's classifiers."""

import pytest
import timm
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import ClassScores
from backbonekit.errors import ContractError
from backbonekit.heads.classification.head import AttentionPooling, ClassificationHead, masked_average
from tests.fixed_weights import randomise_weights
from tests.heads.head_tester import HeadTester


class TestAverage(HeadTester):
    part = ClassificationHead
    options = {"num_classes": 5}
    prediction = ClassScores
    golden = (-0.035338, -0.247380, 0.135976, -0.237045)

    def shapes(self, batch, size):
        return {"logits": (batch, 5)}

    def test_padding_does_not_enter(self):
        head, size = self.build(), (96, 96)
        if head.pool == "class_token":
            pytest.skip("the class token is made by the backbone")
        maps = self.maps(size)
        mask = torch.zeros(2, *size, dtype=torch.bool)
        mask[0, :64, :32], mask[1, :5, :7] = True, True
        height, width = maps.maps[-1].shape[-2:]
        padding = ~Canvas(size, mask).mask_at(height, width)
        assert padding[1].any()
        # a weight of zero times infinity is no number, so attention alone needs finite padding
        deepest = maps.maps[-1].masked_fill(padding[:, None], 1e6 if head.pool == "attention" else float("inf"))
        changed = FeatureMaps((*maps.maps[:-1], deepest), prefix_tokens=maps.prefix_tokens)
        with torch.no_grad():
            expected = head(maps, Canvas(size, mask)).logits
            given = head(changed, Canvas(size, mask)).logits
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    def test_a_padded_image_is_pooled_as_if_alone(self):
        head = self.build()
        maps, size = self.maps((64, 64), batch=1), (128, 96)
        channels, height, width = maps.maps[-1].shape[1:]
        padded = torch.full((1, channels, height * 2, width * 3 // 2), 9.0)
        padded[:, :, :height, :width] = maps.maps[-1]
        mask = torch.zeros(1, *size, dtype=torch.bool)
        mask[:, :64, :64] = True
        with torch.no_grad():
            expected = head(maps, Canvas((64, 64))).logits
            given = head(FeatureMaps((padded,), prefix_tokens=maps.prefix_tokens), Canvas(size, mask)).logits
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


class TestAverageWithNorm(TestAverage):
    options = {"num_classes": 5, "norm": "layer", "dropout": 0.3}
    golden = (-0.634475, -0.573905, -0.058231, -0.537161)


class TestAttention(TestAverage):
    options = {"num_classes": 5, "pool": "attention", "num_heads": 4}
    golden = (0.511631, -0.125417, 0.399568, -0.121860)


class TestClassToken(TestAverage):
    options = {"num_classes": 5, "pool": "class_token"}
    golden = (-0.421227, 0.045658, 0.117138, -0.156034)

    def pyramid(self):
        return FeaturePyramid((Level("block.5", 24, 16), Level("block.11", 24, 16, prefix_tokens=5)))


class TestClassTokenAndAverage(TestClassToken):
    options = {"num_classes": 5, "pool": "class_token_and_average", "norm": "layer"}
    golden = (-0.274222, -0.026258, 0.136951, -0.232459)


def test_refuses_a_class_token_that_is_not_there():
    with pytest.raises(ContractError, match=r"requires a class token; level c5 .* The fix: pool=average"):
        ClassificationHead(FeaturePyramid((Level("c5", 64, 32),)), num_classes=3, pool="class_token")


def test_refuses_heads_that_do_not_divide_the_channels():
    with pytest.raises(ContractError, match="does not divide the 36 channels of level c5; 6 is the nearest below"):
        ClassificationHead(FeaturePyramid((Level("c5", 36, 32),)), num_classes=3, pool="attention")


def test_class_token_and_average_stand_side_by_side():
    pyramid = FeaturePyramid((Level("block.11", 2, 16, prefix_tokens=3),))
    head = ClassificationHead(pyramid, num_classes=4, pool="class_token_and_average")
    with torch.no_grad():
        head.classifier.weight.copy_(torch.eye(4))
    tokens = torch.tensor([[[1.0, 2.0], [50.0, 50.0], [70.0, 70.0]]])
    maps = torch.tensor([3.0, 5.0, 10.0, 20.0]).reshape(1, 2, 1, 2)
    logits = head(FeatureMaps((maps,), prefix_tokens=(tokens,)), Canvas((16, 32))).logits
    assert logits.tolist() == [[1.0, 2.0, 4.0, 15.0]]


@pytest.mark.parity
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@pytest.mark.parametrize(
    ("architecture", "arguments", "options"),
    [
        ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24)}, {"norm": "layer"}),
        ("resnet18", {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 24)}, {}),
        (
            "vit_tiny_patch16_224",
            {"depth": 1, "embed_dim": 24, "num_heads": 2, "dynamic_img_size": True},
            {"pool": "class_token"},
        ),
    ],
)
def test_equals_timms_classifier(size, architecture, arguments, options):
    reference = randomise_weights(timm.create_model(architecture, num_classes=7, **arguments)).eval()
    with torch.no_grad():
        features = reference.forward_features(torch.randn(2, 3, *size))
        expected = reference.forward_head(features)
    if features.ndim == 4:
        level, maps = Level("stage4", features.shape[1], 32), FeatureMaps((features,))
    else:
        level = Level("block.0", features.shape[2], 16, prefix_tokens=1)
        # the map's own size does not matter here: only the class token is read
        patches = features[:, 1:].transpose(1, 2)[..., None]
        maps = FeatureMaps((patches,), prefix_tokens=(features[:, :1],))
    head = ClassificationHead(FeaturePyramid((level,)), num_classes=7, **options).eval()
    linear = reference.get_classifier()
    head.classifier.load_state_dict(linear.state_dict())
    if options.get("norm"):
        head.norm.load_state_dict(reference.head.norm.state_dict())
    with torch.no_grad():
        given = head(maps, Canvas(size)).logits
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parity
def test_attention_pool_equals_timms():
    reference = randomise_weights(
        timm.layers.AttentionPoolLatent(16, num_heads=4, norm_layer=torch.nn.LayerNorm)
    ).eval()
    head = ClassificationHead(
        FeaturePyramid((Level("c5", 16, 32),)), num_classes=16, pool="attention", num_heads=4
    ).eval()
    head.attention.pool.load_state_dict(reference.state_dict())
    with torch.no_grad():
        head.classifier.weight.copy_(torch.eye(16))
        maps = torch.randn(2, 16, 3, 5)
        expected = reference(maps.flatten(2).transpose(1, 2))
        given = head(FeatureMaps((maps,)), Canvas((96, 160))).logits
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def test_average_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, float("nan")]]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    assert masked_average(maps, mask).tolist() == [[2.0]]


def test_average_without_a_mask_is_the_mean():
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(masked_average(maps, None), maps.mean((2, 3)))
    torch.testing.assert_close(masked_average(maps, torch.ones(2, 4, 5, dtype=torch.bool)), maps.mean((2, 3)))


def test_average_of_nothing_is_zero():
    assert masked_average(torch.ones(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


def test_attention_does_not_look_at_padding():
    pool = randomise_weights(AttentionPooling(8, num_heads=2)).eval()
    maps = torch.randn(2, 8, 3, 4)
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[1, :, 2:] = False
    changed = maps.masked_fill(~mask[:, None], 100.0)
    torch.testing.assert_close(pool(changed, mask), pool(maps, mask))
    torch.testing.assert_close(pool(maps, mask)[1:], pool(maps[1:, :, :, :2], None))
    assert not torch.allclose(pool(maps, mask)[1], pool(maps, None)[1])
