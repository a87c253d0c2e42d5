"""Methods that every model of transformers has: device, type, sizes, recomputation, attention, saving, uploading."""

import json

import pytest
import torch
from torch import nn

import backbonekit as bk
from backbonekit.errors import ContractError
from tests.hf_models.small import backbone, dinov2, model

MODELS = [backbone, model, lambda: bk.TimmBackbone(bk.TimmBackboneConfig("resnet18"))]


@pytest.mark.parametrize("make", MODELS)
def test_device_type_and_sizes(make) -> None:
    made = make()
    assert (made.device, made.dtype, made.main_input_name) == (torch.device("cpu"), torch.float32, "pixel_values")
    assert made.to(torch.bfloat16).dtype == torch.bfloat16
    count = sum(parameter.numel() for parameter in made.parameters())
    assert made.num_parameters() == count
    next(made.parameters()).requires_grad_(False)
    assert made.num_parameters(only_trainable=True) < count
    tables = sum(one.weight.numel() for one in made.modules() if isinstance(one, nn.Embedding))
    assert made.num_parameters(exclude_embeddings=True) == count - tables
    assert not made.can_generate()


def test_a_model_has_embeddings_that_can_be_left_out() -> None:
    made = model()
    assert made.num_parameters(exclude_embeddings=True) < made.num_parameters()


@pytest.mark.parametrize("make", MODELS)
def test_gradient_checkpointing_runs_blocks_twice(make) -> None:
    made = make().train()
    assert made.supports_gradient_checkpointing
    inner = next(one for name, one in made.named_modules() if name.endswith("layer2.0.conv1"))
    runs: list[int] = []
    inner.register_forward_hook(lambda *_: runs.append(1))

    def step() -> int:
        runs.clear()
        sum(level.sum() for level in made(torch.randn(2, 3, 64, 64)).feature_maps).backward()
        return len(runs)

    assert (step(), made.is_gradient_checkpointing) == (1, False)
    made.gradient_checkpointing_enable({"use_reentrant": False})
    assert made.is_gradient_checkpointing
    assert made.is_activation_checkpointing
    assert step() >= 2
    made.gradient_checkpointing_disable()
    assert (step(), made.is_gradient_checkpointing) == (1, False)
    with pytest.raises(ContractError, match="use_reentrant=False"):
        made.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(ContractError, match="every block is computed again"):
        made.activation_checkpointing_enable(offload=True)


@pytest.mark.parametrize("make", MODELS)
def test_weights_start_again_as_their_seed_made_them(make) -> None:
    made, other = make(), make()
    with torch.no_grad():
        for tensor in (*made.parameters(), *made.buffers()):
            tensor.zero_()
    made.init_weights()
    made.post_init()
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in made.state_dict().items())


def test_eager_attention_is_computed_step_by_step_with_the_same_maps() -> None:
    images = torch.randn(1, 3, 56, 56)
    made = dinov2()
    attention = made.backbone.body.blocks[0].attn
    flash: list[bool] = []
    attention.register_forward_hook(lambda *_: flash.append(torch.backends.cuda.flash_sdp_enabled()))
    with torch.no_grad():
        fused = made(images).feature_maps[0]
        made.config.attn_implementation = "eager"
        eager = made(images).feature_maps[0]
    assert flash == [True, False]
    torch.testing.assert_close(eager, fused, rtol=1e-4, atol=1e-5)
    with pytest.raises(Exception, match="flash_attention_2"):
        made.config.attn_implementation = "flash_attention_2"


@pytest.mark.parametrize("make", MODELS)
def test_options_of_saving(make, tmp_path) -> None:
    made = make()
    assert not made.save_pretrained(tmp_path / "none", is_main_process=False).exists()
    with pytest.raises(ContractError, match=r"\.safetensors alone"):
        made.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ContractError, match=r"model\.push_to_hub"):
        made.save_pretrained(tmp_path, push_to_hub=True)
    with pytest.raises(ContractError, match="max_shard_size='5 apples' is no size"):
        made.save_pretrained(tmp_path, max_shard_size="5 apples")
    with pytest.raises(ContractError, match="state_dict has other names"):
        made.save_pretrained(tmp_path, state_dict={})
    zeros = {name: torch.zeros_like(tensor) for name, tensor in made.state_dict().items()}
    made.save_pretrained(tmp_path / "zeros", state_dict=zeros, max_shard_size="100KB", safe_serialization=True)
    assert len(list((tmp_path / "zeros").glob("model-*.safetensors"))) > 1
    again = type(made).from_pretrained(tmp_path / "zeros")
    assert all(not parameter.any() for parameter in again.parameters())


def test_a_saved_type_comes_back_by_auto(tmp_path) -> None:
    backbone().half().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    assert bk.AutoBackbone.from_pretrained(tmp_path).dtype == torch.float32
    assert bk.AutoBackbone.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16


class Hub:
    """Stands in for the client."""

    def __init__(self, token=None) -> None:
        self.token = token

    def create_repo(self, identifier, private, exist_ok) -> None:
        Hub.made = (identifier, private, self.token)

    def model_info(self, identifier):
        return type("Info", (), {"siblings": (), "sha": "0" * 40})

    def create_commit(self, identifier, operations, commit_message, parent_commit):
        Hub.files = {operation.path_in_repo for operation in operations}
        Hub.message = commit_message
        return type("Commit", (), {"commit_url": "https://huggingface.co/me/m1/commit/1"})


@pytest.mark.parametrize("make", MODELS)
def test_a_model_is_uploaded_as_transformers_writes_it(make, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    address = make().push_to_hub("me/m1", private=True, token="t", commit_message="first")
    assert address == "https://huggingface.co/me/m1/commit/1"
    assert (Hub.made, Hub.message) == (("me/m1", True, "t"), "first")
    assert (
        {"config.json", "model.safetensors"}
        <= Hub.files
        <= {
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
        }
    )
