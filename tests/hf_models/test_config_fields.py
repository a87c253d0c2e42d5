"""Fields that every configuration has, reading and writing of configurations, and configurations inside others."""

import copy
import json
import pickle

import pytest
import torch

import backbonekit as bk
from backbonekit.backbones.hf.model_types import model_types
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models.backbone_configs import config_class
from backbonekit.registry.model_names import MODELS
from tests.hf_models.small import RESNET, model


def _whole(model_type: str):
    kind = getattr(bk, MODELS[model_type].config)
    least = {"backbone_config": bk.Dinov2Config(out_indices=(3, 6, 9, 12))} if model_type == "dpt" else {}
    return lambda **fields: kind(**least, **fields)


MAKERS = {
    **{model_type: config_class(model_type) for model_type in model_types()},
    "timm": lambda **fields: bk.TimmBackboneConfig("resnet18", **fields),
    **{f"{model_type} whole": _whole(model_type) for model_type in MODELS},
}
configs = pytest.mark.parametrize("name", MAKERS)
FIELDS = {
    "output_hidden_states": True,
    "output_attentions": True,
    "return_dict": False,
    "attn_implementation": "eager",
    "initializer_range": 0.5,
    "use_cache": False,
    "architectures": ["Mine"],
    "problem_type": "regression",
    "chunk_size_feed_forward": 5,
    "is_encoder_decoder": True,
    "tie_word_embeddings": False,
    "name_or_path": "owner/name",
    "transformers_version": "4.44.0",
    "bos_token_id": 6,
}


@configs
def test_every_constructor_takes_the_fields_of_every_model(name) -> None:
    config = MAKERS[name](**FIELDS, dtype="float16", num_labels=5)
    for field, value in FIELDS.items():
        assert getattr(config, field) == value, field
    assert config.dtype == config.torch_dtype == torch.float16
    assert MAKERS[name](torch_dtype=torch.float16).dtype == torch.float16
    assert (config.num_labels, len(config.id2label), len(config.label2id)) == (5, 5, 5)
    written = config.to_dict()
    assert written["dtype"] == "float16"
    assert written["bos_token_id"] == 6
    assert json.loads(config.to_json_string(use_diff=False)) == json.loads(json.dumps(written))


@configs
def test_wrong_values_and_names_are_refused(name) -> None:
    config = MAKERS[name]()
    for make in (MAKERS[name], lambda **fields: config.update(fields)):
        with pytest.raises(RecipeError, match="dtype='float99' is no type of weights"):
            make(dtype="float99")
        with pytest.raises(RecipeError, match="only sdpa and eager"):
            make(attn_implementation="flash_attention_2")
        with pytest.raises(RecipeError, match="use_cache"):
            make(use_cache="yes")
        with pytest.raises(RecipeError, match="has no field 'use_cash'; did you mean 'use_cache'"):
            make(use_cash=True)
    with pytest.raises(AttributeError, match="has no field 'use_cash'"):
        _ = config.use_cash


@configs
def test_files_strings_and_copies(name, tmp_path) -> None:
    config = MAKERS[name](use_cache=False, num_labels=4)
    kind = type(config)
    config.to_json_file(tmp_path / "any.json")
    again = kind.from_json_file(tmp_path / "any.json")
    assert again == config
    assert again.num_labels == 4
    assert "return_dict" not in json.loads(config.to_json_string())
    assert "return_dict" in json.loads(config.to_json_string(use_diff=False))
    config.save_pretrained(tmp_path / "here" / "sub")
    assert kind.from_pretrained(tmp_path / "here", subfolder="sub") == config
    assert kind.from_pretrained(tmp_path / "here" / "sub", return_dict=False).return_dict is False
    for copied in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert copied == config
        copied.update({"use_cache": True, "initializer_range": 0.1})
        assert copied != config
    assert config.get_text_config() is config
    assert config.sub_configs == {}


def test_a_file_of_somebody_else_with_odd_common_fields_is_read() -> None:
    odd = {"use_cache": "maybe", "dtype": "auto", "attn_implementation": "flash_attention_2", "id2label": {"a": "b"}}
    config = bk.ResNetConfig.from_dict({**bk.ResNetConfig().to_dict(), **odd})
    assert (config.use_cache, config.dtype, config.attn_implementation, config.num_labels) == (True, None, None, 2)


def test_fields_of_transformers_that_decide_no_map_are_kept() -> None:
    config = bk.SwinConfig(encoder_stride=16)
    assert config.encoder_stride == config.to_dict()["encoder_stride"] == 16
    config.encoder_stride = 8
    assert copy.deepcopy(config).encoder_stride == 8
    assert "encoder_stride" not in bk.SwinBackbone(bk.SwinConfig(embed_dim=12, depths=[1], num_heads=[2])).config.others


def test_lists_stay_lists() -> None:
    config = bk.ResNetConfig(**RESNET, out_indices=[1, 2, 3, 4])
    assert bk.ResNetBackbone(config).channels == config.hidden_sizes
    assert config == bk.ResNetConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in RESNET.items()},
                                     out_indices=(1, 2, 3, 4))  # fmt: skip


def test_both_spellings_at_once() -> None:
    for config in (bk.ResNetConfig(), bk.TimmBackboneConfig("resnet18")):
        names = config.stage_names
        config.set_output_features_output_indices(None, [1, 2])
        assert (config.out_features, config.out_indices) == (names[1:3], [1, 2])
        config.set_output_features_output_indices(names[2:3], [2])
        assert config.out_indices == [2]
        with pytest.raises(ContractError, match="give one of the two"):
            config.set_output_features_output_indices(names[1:2], [2])
        assert config.out_indices == [2]
        config.set_output_features_output_indices(None, None)
        assert (config.out_features, config.indices_were_set) == (names[-1:], False)


@pytest.mark.parametrize("model_type", [name for name in MODELS if name != "dpt"])
def test_the_default_backbone_can_be_read_and_edited(model_type) -> None:
    config = _whole(model_type)()
    assert config.backbone_config.num_channels == 3
    bare = config.recipe()
    assert type(config)(backbone_config=config.backbone_config).recipe().backbone == bare.backbone
    config.backbone_config.num_channels = 4
    assert config.recipe().backbone.in_channels == 4
    config.backbone = "owner/name"
    assert (config.backbone_config, config.recipe().backbone.name) == (None, "owner/name")


def test_a_field_of_the_default_backbone_reaches_the_model() -> None:
    config = bk.Mask2FormerConfig()
    config.backbone_config.embed_dim = 16
    config.backbone_config.num_heads = [1, 2, 4, 8]
    assert config.recipe().backbone.config["embed_dim"] == 16
    with pytest.raises(RecipeError, match="no field 'embed_dims'"):
        config.backbone_config.embed_dims = 16


def test_the_decoder_of_a_maskformer_is_a_configuration() -> None:
    config = bk.MaskFormerConfig(decoder_config=bk.DetrConfig(decoder_layers=3, num_queries=7))
    assert config.decoder_config.decoder_layers == 3
    config.decoder_config.decoder_ffn_dim = 64
    options = config.recipe().head.options
    assert (options["num_layers"], options["num_queries"], options["feedforward_channels"]) == (3, 7, 64)
    assert bk.MaskFormerConfig.from_dict(config.to_dict()) == config
    assert bk.MaskFormerConfig(decoder_config={"decoder_layers": 2}).decoder_config.decoder_layers == 2
    assert bk.MaskFormerConfig().decoder_config.decoder_layers == 6
    # A word that nobody reads, as in a file of somebody else, is noted.
    assert "layers" in str(bk.MaskFormerConfig(decoder_config={"layers": 2}).recipe().notes)
    with pytest.raises(ContractError, match="a DetrConfig or a mapping"):
        bk.MaskFormerConfig(decoder_config=3)


def test_channels_of_the_images_on_a_whole_model() -> None:
    named = bk.DetrConfig(num_channels=1, use_timm_backbone=True, backbone="resnet18")
    assert (named.num_channels, named.recipe().backbone.in_channels) == (1, 1)
    assert bk.DetrConfig(num_channels=1).backbone_config.num_channels == 1
    with pytest.raises(ContractError, match=r"num_channels=1, but backbone_config\.num_channels=3"):
        bk.DetrConfig(num_channels=1, backbone_config=bk.ResNetConfig(**RESNET))
    made = model(backbone_config=bk.ResNetConfig(**RESNET, num_channels=1), num_channels=1)
    assert made(torch.randn(1, 1, 64, 64)).logits.shape == (1, 5, 4)


def test_own_classes_on_the_mixins_are_told_the_way() -> None:
    class OwnConfig(bk.BackboneConfigMixin):
        model_type = "own"

    class OwnBackbone(bk.BackboneMixin):
        pass

    with pytest.raises(ContractError, match=r"OwnConfig has no model_type of a family.*register_model"):
        OwnConfig()
    with pytest.raises(ContractError, match=r"OwnBackbone: BackboneMixin is the base.*register_model"):
        OwnBackbone()
    assert bk.BackboneType("timm") is bk.TimmBackbone.backbone_type
    assert bk.ResNetBackbone.backbone_type is bk.BackboneType.TRANSFORMERS
