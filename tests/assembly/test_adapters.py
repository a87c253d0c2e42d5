"""A LoRA adapter of peft in a model is saved beside its weights, opened again, and merged on request."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.hub.saved_model import read_recipe
from tests.fixed_weights import randomise_weights

RECIPE = {"backbone": "timm/test_vit", "head": {"name": "classification", "num_classes": 3}}


@pytest.fixture
def peft():
    return pytest.importorskip("peft", reason="peft is an extra of development")


def values() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(values()).predictions.logits


def adapted(peft, **options):
    """A model whose adapter changes what it predicts, and that model before."""
    model = randomise_weights(bk.build_model(RECIPE)).eval()
    plain = logits(model)
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ["qkv", "classifier"], **options})
    peft.inject_adapter_in_model(config, model)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return model.eval(), plain


def test_an_adapter_comes_back_from_the_folder(peft, tmp_path):
    model, plain = adapted(peft)
    before = torch.get_rng_state()
    opened = bk.load_model(model.save_pretrained(tmp_path / "m"))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.allclose(logits(model), plain, atol=1e-3)
    assert torch.equal(logits(opened), logits(model))
    trained = {name for name, parameter in opened.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in trained)
    again = bk.load_model(opened.save_pretrained(tmp_path / "n"))
    assert torch.equal(logits(again), logits(model))
    assert read_recipe(tmp_path / "m" / "recipe.yaml")[1].is_trained


def test_the_weights_beside_it_are_the_models_own(peft, tmp_path):
    model, plain = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    assert set(load_file(folder / "model.safetensors")) == set(bk.build_model(RECIPE).state_dict())
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / file).unlink()
    text = (folder / "recipe.yaml").read_text()
    lines = [line for line in text.splitlines() if "adapter_model" not in line]
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n")
    assert torch.equal(logits(bk.load_model(folder)), plain)


def test_peft_reads_the_files_too(peft, tmp_path):
    model, _ = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    base = bk.load_model(folder, merge_adapter=False)
    other = bk.build_model(RECIPE)
    other.load_state_dict(load_file(folder / "model.safetensors"))
    wrapped = peft.PeftModel.from_pretrained(other, str(folder))
    assert torch.allclose(logits(wrapped.base_model.model), logits(base), atol=1e-6)


def test_merged_it_is_a_plain_model_that_predicts_the_same(peft, tmp_path):
    model, _ = adapted(peft, use_rslora=True)
    expected = logits(model)
    merged = bk.load_model(model.save_pretrained(tmp_path / "m"), merge_adapter=True)
    assert torch.allclose(logits(merged), expected, atol=1e-5)
    assert set(merged.state_dict()) == set(bk.build_model(RECIPE).state_dict())
    assert all(parameter.requires_grad for parameter in merged.parameters())
    folder = merged.save_pretrained(tmp_path / "n")
    assert not (folder / "adapter_config.json").exists()
    assert torch.equal(logits(bk.load_model(folder)), logits(merged))
    assert torch.allclose(logits(bk.merge_adapter(model)), expected, atol=1e-5)


def test_saved_over_an_adapter_a_merged_model_takes_its_files_away(peft, tmp_path):
    model, _ = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    bk.merge_adapter(model).save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.yaml",
    }


@pytest.mark.parametrize("options", [{"use_dora": True}, {"rank_pattern": {"classifier": 2}}, {"lora_bias": True}])
def test_what_is_more_than_two_matrices_is_refused_with_the_fix(peft, tmp_path, options):
    model, _ = adapted(peft, **options)
    with pytest.raises(WeightsError, match=r"more than the two matrices.*merge_adapter"):
        model.save_pretrained(tmp_path / "m")


def test_an_adapter_that_does_not_fit_is_refused(peft, tmp_path):
    model, _ = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    with pytest.raises(WeightsError, match="its adapter does not fit the model"):
        bk.load_model(folder, ["head.num_classes=5"])
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "classifier" not in name}, folder / "x.safetensors")
    (folder / "x.safetensors").replace(folder / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match="is damaged or was exchanged"):
        bk.load_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"auto_mapping": {"base_model_class": "os"}},
        {"peft_type": "IA3"},
        {"target_modules": ".*(a+)+$"},
        {"r": 10**9},
        {"lora_alpha": float("nan")},
    ],
)
def test_a_strangers_configuration_is_refused(peft, tmp_path, change):
    model, _ = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises((WeightsError, OSError), match=r"adapter_config\.json"):
        bk.load_model(folder)


def test_without_peft_the_fix_is_to_install_it(peft, tmp_path, monkeypatch):
    model, _ = adapted(peft)
    folder = model.save_pretrained(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RecipeError, match="pip install peft"):
        bk.load_model(folder)


def test_a_class_of_transformers_name_refuses_a_folder_with_an_adapter(peft, tmp_path):
    model = bk.DetrForObjectDetection(bk.DetrConfig(backbone="resnet10t", use_timm_backbone=True, decoder_layers=1))
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["class_predictor"]), model.model)
    folder = model.model.save_pretrained(tmp_path / "m")
    with pytest.raises(ContractError, match="holds a LoRA adapter"):
        bk.DetrForObjectDetection.from_pretrained(folder)
