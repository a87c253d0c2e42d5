"""Each transformer family of transformers under the tests that every backbone passes."""

import pytest

from backbonekit.errors import ContractError
from tests.backbones.backbone_tester import BackboneTester


class TestDinov2WithRegisters(BackboneTester):
    source = "hf"
    config = {
        "model_type": "dinov2_with_registers",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
    }


class TestPvtV2(BackboneTester):
    source = "hf"
    config = {
        "model_type": "pvt_v2",
        "hidden_sizes": [16, 24, 40],
        "depths": [1, 2, 1],
        "num_encoder_blocks": 3,
        "num_attention_heads": [1, 2, 4],
        "sr_ratios": [4, 2, 1],
        "patch_sizes": [7, 3, 3],
        "strides": [4, 2, 2],
        "mlp_ratios": [2, 2, 2],
    }
    exports = True


class TestSwinv2(BackboneTester):
    source = "hf"
    config = {
        "model_type": "swinv2",
        "embed_dim": 24,
        "depths": [1, 2, 2],
        "num_heads": [2, 4, 4],
        "window_size": 4,
        "image_size": 64,
    }


class TestDINOv3ViT(BackboneTester):
    source = "hf"
    config = {
        "model_type": "dinov3_vit",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_register_tokens": 2,
        "pos_embed_rescale": None,
    }
    exports = True


class TestDINOv3ViTNormedAtItsEnd(BackboneTester):
    source = "hf"
    config = {
        "model_type": "dinov3_vit",
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 8,
        "use_gated_mlp": True,
        "hidden_act": "silu",
        "key_bias": True,
        "apply_layernorm": False,
        "pos_embed_rescale": None,
    }


class TestBeit(BackboneTester):
    source = "hf"
    config = {
        "model_type": "beit",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
        "use_relative_position_bias": True,
        "use_absolute_position_embeddings": True,
    }
    exports = True


class TestBeitWithSharedBias(BackboneTester):
    source = "hf"
    config = {
        "model_type": "beit",
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 80,
        "use_shared_relative_position_bias": True,
    }


class TestVitDet(BackboneTester):
    source = "hf"
    config = {
        "model_type": "vitdet",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
        "pretrain_image_size": 48,
        "window_block_indices": [0],
        "window_size": 3,
        "residual_block_indices": [1],
        "use_relative_position_embeddings": True,
    }
    exports = True


class TestHiera(BackboneTester):
    source = "hf"
    config = {
        "model_type": "hiera",
        "embed_dim": 16,
        "depths": [1, 2, 1],
        "num_heads": [1, 2, 4],
        "image_size": [64, 96],
        "num_query_pool": 2,
        "masked_unit_attention": [True, True, False],
    }
    sizes = ((64, 96),)
    exports = True

    def test_other_sizes_are_refused_with_a_message(self) -> None:
        with pytest.raises(ContractError, match="a grid of 16 x 24, and this image has 16 x 16"):
            self.build()(self.image((64, 64)))


class TestVitPoseBackbone(BackboneTester):
    source = "hf"
    config = {
        "model_type": "vitpose_backbone",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": [64, 48],
    }
    sizes = ((64, 48),)

    def test_other_sizes_are_refused_with_a_message(self) -> None:
        with pytest.raises(ContractError, match="a grid of 4 x 3, and this image has 4 x 4"):
            self.build()(self.image((64, 64)))
