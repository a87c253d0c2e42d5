"""What the configurations of the transformer families refuse, by name."""

from typing import Any

import pytest

from backbonekit.backbones.hf.blueprint import blueprint
from backbonekit.errors import RecipeError

PVT = {"model_type": "pvt_v2"}
SWIN = {"model_type": "swinv2"}
DINOV3 = {"model_type": "dinov3_vit"}
BEIT = {"model_type": "beit"}
VITDET = {"model_type": "vitdet"}
HIERA = {"model_type": "hiera"}
VITPOSE = {"model_type": "vitpose_backbone"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "dinov2_with_registers", "image_size": [56, 70]}, "dinov2_with_registers config: image_size"),
        ({**PVT, "depths": [2, 2]}, "one for each"),
        ({**PVT, "num_encoder_blocks": 3}, "num_encoder_blocks=3 must be the number of stages"),
        ({**PVT, "strides": [4, 2, 2, 1]}, "strides=(4, 2, 2, 1) is not supported"),
        ({**PVT, "patch_sizes": [4, 2, 2, 2]}, "patch_sizes=(4, 2, 2, 2) is not supported"),
        ({**PVT, "hidden_act": "relu"}, "source: transformers"),
        ({**PVT, "num_attention_heads": [1, 2, 7, 8]}, "stage 3 has 160 channels"),
        ({**SWIN, "use_absolute_embeddings": True}, "source: transformers"),
        ({**SWIN, "pretrained_window_sizes": [0, 0]}, "one for each stage"),
        ({**SWIN, "pretrained_window_sizes": [1, 0, 0, 0]}, "no positions to measure in"),
        ({**SWIN, "image_size": 16}, "at least 32"),
        ({**DINOV3, "query_bias": False}, "query_bias=False, key_bias=False, value_bias=True is not supported"),
        ({**DINOV3, "hidden_size": 390}, "a multiple of 4 * num_attention_heads = 24"),
        ({**DINOV3, "patch_size": [16, 8]}, "must be a square"),
        ({**BEIT, "add_fpn": True}, "add_fpn=True is not supported"),
        ({**BEIT, "image_size": [224, 448]}, "must be a square"),
        ({**BEIT, "num_attention_heads": 7}, "does not divide"),
        ({**BEIT, "patch_size": 256}, "larger than"),
        ({**VITDET, "use_absolute_position_embeddings": False}, "source: transformers"),
        ({**VITDET, "pretrain_image_size": [224, 112]}, "pretrain_image_size must be a square"),
        ({**VITDET, "window_block_indices": [-1]}, "window_block_indices.0: given -1, must be a whole number from 0"),
        ({**HIERA, "num_heads": [1, 2]}, "one for each"),
        ({**HIERA, "num_query_pool": 4}, "must be less than the 4 stages"),
        ({**HIERA, "embed_dim_multiplier": 1.5}, "embed_dim_multiplier=1.5 is not supported"),
        ({**HIERA, "num_heads": [1, 2, 5, 8]}, "stage 3 has 384 channels"),
        ({**HIERA, "image_size": [100, 100]}, "must be multiples of 8"),
        ({**HIERA, "image_size": [32, 32], "masked_unit_size": [16, 16]}, "does not divide the map of stage 1"),
        ({**HIERA, "masked_unit_size": [4, 4]}, "pooled away"),
        ({**VITPOSE, "num_experts": 6, "part_features": 4096}, "part_features=4096 must be below hidden_size"),
        ({**VITPOSE, "image_size": [268, 192]}, "do not go together"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        blueprint(None, config=config, revision=None, in_channels=3, args={})
    assert message in str(caught.value)
