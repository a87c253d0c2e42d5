"""MaskFormer against transformers: predictions, every loss term, every gradient, from random weights."""

import pytest
import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.heads.maskformer.head import MaskFormerHead
from backbonekit.heads.maskformer.loss import MaskSetCriterion
from backbonekit.necks.fpn_pixel_decoder import FPNPixelDecoder
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
NAMES = (  # transformers' names, in the order they are looked for, and ours
    ("model.pixel_level_module.decoder.mask_projection", "neck.mask_projection"),
    ("model.pixel_level_module.decoder.fpn.stem.0", "neck.stem.convolution"),
    ("model.pixel_level_module.decoder.fpn.stem.1", "neck.stem.norm"),
    *(
        (f"model.pixel_level_module.decoder.fpn.layers.{index}.{theirs}.{layer}", f"neck.{ours}.{2 - index}.{name}")
        for index in range(3)
        for theirs, ours in (("proj", "laterals"), ("block", "outputs"))
        for layer, name in enumerate(("convolution", "norm"))
    ),
    ("model.transformer_module.queries_embedder", "head.queries"),
    ("model.transformer_module.input_projection", "head.input_projection"),
    ("model.transformer_module.decoder.layernorm", "head.norm"),
    ("model.transformer_module.decoder.layers", "head.layers"),
    ("self_attn_layer_norm", "self_attention_norm"),
    ("encoder_attn_layer_norm", "cross_attention_norm"),
    ("final_layer_norm", "feedforward_norm"),
    ("self_attn.", "self_attention."),
    ("encoder_attn.", "cross_attention."),
    *(
        (f".{letter}_proj.", f".{name}.")
        for letter, name in zip("qkvo", ("query", "key", "value", "output"), strict=True)
    ),
    ("mlp.fc1", "feedforward.widen"),
    ("mlp.fc2", "feedforward.narrow"),
    ("class_predictor", "head.class_predictor"),
    *((f"mask_embedder.{index}.0", f"head.mask_embedder.layers.{index}") for index in range(3)),
)


def our_name(name: str) -> str:
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return name


def reference(*, channels: int = 32, auxiliary: bool = False, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A small MaskFormer. With 48 channels the deepest map has the decoder's width, so nothing projects it."""
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[16, 24, 32, 48],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_indices=[1, 2, 3, 4],
        ),
        decoder_config=transformers.DetrConfig(
            d_model=channels,
            decoder_layers=3,
            decoder_attention_heads=4,
            decoder_ffn_dim=40,
            num_queries=7,
            dropout=0.0,
        ),
        fpn_feature_size=64,
        mask_feature_size=40,
        num_labels=5,
        use_auxiliary_loss=auxiliary,
    )
    return randomise_weights(transformers.MaskFormerForInstanceSegmentation(config)).to(dtype).eval()


class Ours(nn.Module):
    """Our parts after the reference's backbone, with the reference's weights."""

    def __init__(self, theirs: nn.Module) -> None:
        super().__init__()
        config = theirs.config
        self.encoder = [theirs.model.pixel_level_module.encoder]  # in a list, so that it is no part of this module
        channels = self.encoder[0].channels
        pyramid = FeaturePyramid(tuple(Level(f"stage{i}", one, 2**i) for i, one in enumerate(channels, 2)))
        self.neck = FPNPixelDecoder(pyramid, channels=config.fpn_feature_size, mask_channels=config.mask_feature_size)
        self.head = MaskFormerHead(
            self.neck.features,
            num_classes=config.num_labels,
            num_queries=config.decoder_config.num_queries,
            channels=config.decoder_config.d_model,
            num_layers=config.decoder_config.decoder_layers,
            num_heads=config.decoder_config.decoder_attention_heads,
            feedforward_channels=config.decoder_config.decoder_ffn_dim,
            dropout=config.decoder_config.dropout,
            auxiliary="raw" if config.use_auxiliary_loss else "none",
        )
        self.criterion = MaskSetCriterion(num_classes=config.num_labels)
        weights = {our_name(name): tensor for name, tensor in theirs.state_dict().items() if shared(name)}
        self.load_state_dict(weights)  # strict: every name on both sides
        self.to(theirs.dtype).eval()

    def forward(self, pixel_values, targets=None, mask=None):
        canvas = Canvas(tuple(pixel_values.shape[-2:]), mask)
        maps = FeatureMaps(tuple(self.encoder[0](pixel_values).feature_maps))
        prediction = self.head(self.neck(maps, canvas), canvas, targets)
        return prediction, None if targets is None else self.criterion(prediction, targets, canvas)


def shared(name: str) -> bool:
    return "pixel_level_module.encoder" not in name and "criterion" not in name


def assert_near(given: Tensor, expected: Tensor, dtype: torch.dtype, name: str = "") -> None:
    """Relative to the largest value."""
    scale = expected.abs().max().clamp(min=1e-3)
    assert given.dtype == expected.dtype == dtype
    assert (given - expected).abs().max() / scale < TOLERANCE[dtype], name


def example(size, counts=(4, 0, 9), dtype=torch.float32):
    """Images, and masks of each: none, some, and more than there are queries."""
    masks = [torch.rand(count, *size) > 0.6 for count in counts]
    labels = [torch.randint(0, 5, (count,)) for count in counts]
    return torch.randn(len(counts), 3, *size, dtype=dtype), labels, masks


@pytest.mark.parametrize("channels", [32, 48])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, (131, 87)), (torch.float64, (64, 64))])
def test_predictions_are_equal(channels, dtype, size):
    theirs = reference(channels=channels, dtype=dtype)
    ours, (images, _, _) = Ours(theirs), example(size, dtype=dtype)
    with torch.no_grad():
        expected, (prediction, _) = theirs(images), ours(images)
    assert_near(prediction.class_logits, expected.class_queries_logits, dtype)
    assert_near(prediction.mask_logits, expected.masks_queries_logits, dtype)


def test_predictions_with_a_mask_of_all_true_are_equal():
    """The reference accepts a mask and ignores it, which is correct without padding."""
    theirs = reference()
    ours, (images, _, _) = Ours(theirs), example((64, 96))
    mask = torch.ones(3, 64, 96, dtype=torch.bool)
    with torch.no_grad():
        expected, (prediction, _) = theirs(images, pixel_mask=mask), ours(images, mask=mask)
    assert_near(prediction.class_logits, expected.class_queries_logits, torch.float32)
    assert_near(prediction.mask_logits, expected.masks_queries_logits, torch.float32)


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, (64, 64)), (torch.float64, (131, 87))])
def test_losses_and_gradients_are_equal(auxiliary, dtype, size):
    theirs = reference(auxiliary=auxiliary, dtype=dtype)
    ours, (images, labels, masks) = Ours(theirs), example(size, dtype=dtype)
    floats = [mask.to(dtype) for mask in masks]
    expected = theirs(
        images,
        mask_labels=floats,
        class_labels=labels,
        output_hidden_states=auxiliary,
        output_auxiliary_logits=auxiliary,
    )
    expected.loss.backward()
    prediction, terms = ours(
        images, [{"labels": one, "masks": other} for one, other in zip(labels, masks, strict=True)]
    )
    sum(terms.values()).backward()

    if auxiliary:
        assert len(prediction.auxiliary) == len(expected.auxiliary_logits) == 3
        for one, other in zip(prediction.auxiliary, expected.auxiliary_logits, strict=True):
            assert_near(one.class_logits, other["class_queries_logits"], dtype)
            assert_near(one.mask_logits, other["masks_queries_logits"], dtype)
    logits = expected.masks_queries_logits, expected.class_queries_logits
    losses = theirs.get_loss_dict(*logits, floats, labels, expected.auxiliary_logits)
    renamed = {name.replace("loss_", "").replace("cross_entropy", "class"): loss for name, loss in losses.items()}
    assert renamed.keys() == terms.keys()
    for name, loss in renamed.items():
        assert_near(terms[name], loss, dtype, name)
    assert_near(sum(terms.values()), expected.loss, dtype)

    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    compared = {name: parameter.grad for name, parameter in theirs.named_parameters() if shared(name)}
    largest = max(gradient.abs().max() for gradient in compared.values())
    for name, gradient in compared.items():
        given = gradients.pop(our_name(name))
        # What is zero in theory is rounding noise on both sides: keys' biases, how the first layer weighs zeros.
        near_zero = largest * TOLERANCE[dtype] * 1e-2
        scale = gradient.abs().max().clamp(min=near_zero / TOLERANCE[dtype])
        assert (given - gradient).abs().max() / scale < TOLERANCE[dtype], name
    assert not gradients


def test_without_any_mask_losses_and_gradients_are_equal():
    theirs = reference(dtype=torch.float64)
    ours, (images, labels, masks) = Ours(theirs), example((64, 64), counts=(0, 0), dtype=torch.float64)
    expected = theirs(images, mask_labels=[mask.double() for mask in masks], class_labels=labels)
    expected.loss.backward()
    _, terms = ours(images, [{"labels": one, "masks": other} for one, other in zip(labels, masks, strict=True)])
    sum(terms.values()).backward()
    assert_near(sum(terms.values()), expected.loss, torch.float64)
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        if shared(name):
            torch.testing.assert_close(gradients[our_name(name)], parameter.grad, rtol=1e-8, atol=1e-12)
