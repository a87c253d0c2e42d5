"""`embed` against the pooled outputs of transformers' models and timm's `forward_head(pre_logits=True)`."""

import numpy as np
import pytest
import timm
import torch

import backbonekit as bk
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56}
CONVOLUTIONS = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]}
# The output of transformers that each pooling equals.
FAMILIES = {
    "dinov2": ("Dinov2Config", VIT, {"cls": "pooler_output", "first": "last_hidden_state"}),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", VIT, {"cls": "pooler_output"}),
    "dinov3_vit": ("DINOv3ViTConfig", {**VIT, "intermediate_size": 64}, {"cls": "pooler_output"}),
    "swin": ("SwinConfig", {"embed_dim": 16, "depths": [1, 1, 1], "num_heads": [2, 2, 4], "window_size": 4},
             {"mean": "pooler_output"}),
    "swinv2": ("Swinv2Config", {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
               {"mean": "pooler_output"}),
    "convnext": ("ConvNextConfig", CONVOLUTIONS, {"mean": "pooler_output"}),
    "convnextv2": ("ConvNextV2Config", CONVOLUTIONS, {"mean": "pooler_output"}),
    "dinov3_convnext": ("DINOv3ConvNextConfig", CONVOLUTIONS, {"mean": "pooler_output"}),
    "resnet": ("ResNetConfig", {**CONVOLUTIONS, "layer_type": "basic"}, {"mean": "pooler_output"}),
}  # fmt: skip


def pictures(size: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8) for seed in range(3)]


@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_transformers(name, tmp_path):
    config_name, fields, equal = FAMILIES[name]
    oracle = randomise_weights(transformers.AutoModel.from_config(getattr(transformers, config_name)(**fields))).eval()
    oracle.save_pretrained(tmp_path)
    size = ["processing.size=[64,64]", "processing.shortest_edge=null", "processing.crop=null"]
    model = bk.build_model(
        {}, [f"backbone={tmp_path}", "backbone.pretrained=true", "backbone.args.norm=embedding", *size]
    )
    pixel_values = model.processor(pictures(64))["pixel_values"]
    with torch.no_grad():
        outputs = oracle(pixel_values)
    for pool, output in equal.items():
        expected = outputs[output][:, 0] if pool == "first" else outputs[output].flatten(1)
        given = model.embed(pictures(64), pool="cls" if pool == "first" else pool)
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
    backbone = bk.AutoBackbone.from_pretrained(tmp_path, backbone_kwargs={"norm": "embedding"})
    vectors = backbone.after_pooling(backbone.extract(pixel_values).maps[-1].mean(dim=(2, 3)), 0)
    torch.testing.assert_close(vectors, model.embed(pictures(64)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "pool"),
    [
        ("vit_tiny_patch16_224", {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 64}, "cls"),
        ("vit_tiny_patch16_224", {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 64, "global_pool": "avg"},
         "mean"),
        ("beit_base_patch16_224", {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 64}, "mean"),
        ("swin_tiny_patch4_window7_224", {"embed_dim": 24, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4,
                                          "img_size": 64}, "mean"),
        ("test_convnext2", {}, "mean"),
        ("test_resnet", {}, "mean"),
        ("test_efficientnet", {}, "mean"),
        ("hiera_tiny_224", {"img_size": 64, "stages": [1, 1, 1, 1]}, "mean"),
        ("xcit_nano_12_p16_224", {"depth": 1}, "cls"),
        ("fastvit_t8", {}, "mean"),
        ("caformer_s18", {}, "mean"),
    ],
)  # fmt: skip
def test_heads_of_timm(name, args, pool):
    list_of_args = ", ".join(f"{key}: {value}" for key, value in {**args, "norm": "embedding"}.items())
    size = ["processing.size=[64,64]", "processing.shortest_edge=null", "processing.crop=null"]
    model = bk.build_model({}, [f"backbone=timm/{name}", f"backbone.args={{{list_of_args}}}", *size])
    # In float64: FastViT with random weights makes values near 100, of which float32 leaves few digits.
    randomise_weights(model.backbone).double()
    oracle = timm.create_model(name, num_classes=0, **args).double().eval()
    oracle.load_state_dict({key.removeprefix("body."): value for key, value in model.backbone.state_dict().items()})
    pixel_values = model.processor(pictures(64))["pixel_values"].double()
    with torch.no_grad():
        expected = oracle.forward_head(oracle.forward_features(pixel_values), pre_logits=True)
    given = model.embed(pictures(64), pool=pool)
    assert given.shape == expected.shape == (3, model.features.levels[-1].channels)
    torch.testing.assert_close(given, expected)
