"""`from_pretrained` with the options of transformers: each has an effect or is refused with the reason."""

from pathlib import Path

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.hf_models.loading_options import _REFUSED
from backbonekit.weights import hub
from tests.hf_cache import cache_repository
from tests.hf_models.small import backbone, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    backbone().save_pretrained(root / "backbone")
    model().save_pretrained(root / "model")
    bk.TimmBackbone(bk.TimmBackboneConfig("resnet18")).save_pretrained(root / "timm")
    return root


LOADERS = [
    (bk.AutoBackbone, "backbone"),
    (bk.AutoBackbone, "timm"),
    (bk.ResNetBackbone, "backbone"),
    (bk.TimmBackbone, "timm"),
    (bk.DetrForObjectDetection, "model"),
]
loaders = pytest.mark.parametrize(("loader", "name"), LOADERS)


@loaders
def test_the_first_argument_has_transformers_name(loader, name, folder) -> None:
    assert loader.from_pretrained(pretrained_model_name_or_path=folder / name).dtype == torch.float32


@loaders
@pytest.mark.parametrize("option", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", ["float16", torch.float16, "torch.float16"])
def test_the_type_of_the_weights(loader, name, folder, option, value) -> None:
    made = loader.from_pretrained(folder / name, **{option: value})
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float16}


@loaders
def test_a_type_that_is_none(loader, name, folder) -> None:
    with pytest.raises(ContractError, match="dtype='int8' is no type of weights"):
        loader.from_pretrained(folder / name, dtype="int8")
    with pytest.raises(ContractError, match="two names of one option"):
        loader.from_pretrained(folder / name, dtype="float16", torch_dtype="float32")


@loaders
def test_one_device_for_the_model(loader, name, folder) -> None:
    for device_map in ("cpu", {"": "cpu"}, torch.device("cpu"), "auto"):
        assert loader.from_pretrained(folder / name, device_map=device_map).device == torch.device("cpu")
    assert loader.from_pretrained(folder / name, device_map="meta").device == torch.device("meta")
    with pytest.raises(RecipeError, match="no device is called so"):
        loader.from_pretrained(folder / name, device_map="gpu")
    with pytest.raises(ContractError, match="stays on one device"):
        loader.from_pretrained(folder / name, device_map={"backbone": "cpu", "head": "cpu"})


@loaders
def test_what_was_not_read(loader, name, folder) -> None:
    made, info = loader.from_pretrained(folder / name, output_loading_info=True)
    assert made.dtype == torch.float32
    assert info.keys() == {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}
    assert not any(info[key] - {each for each in info[key] if "num_batches" in str(each)} for key in info)


def test_a_predictor_of_another_size_is_listed(folder) -> None:
    options = {"num_labels": 7, "ignore_mismatched_sizes": True, "output_loading_info": True}
    made, info = bk.DetrForObjectDetection.from_pretrained(folder / "model", **options)
    ((weight, *shapes), (_, *_)) = sorted(info["mismatched_keys"], key=lambda each: -len(each[1]))
    assert made.state_dict()[weight].shape == shapes[1] == (8, 32)
    assert shapes[0] == (4, 32)
    assert not info["unexpected_keys"]


@loaders
def test_a_folder_inside_a_folder(loader, name, folder) -> None:
    assert loader.from_pretrained(folder, subfolder=name).dtype == torch.float32
    # A folder of a Hub repository is read too; the error names it.
    with pytest.raises(StorageError, match="owner/name"):
        loader.from_pretrained("owner/name", subfolder="x", local_files_only=True)


@loaders
@pytest.mark.parametrize("option", sorted(_REFUSED))
def test_what_is_not_supported_is_refused_with_the_reason(loader, name, folder, option) -> None:
    with pytest.raises(ContractError, match=f"does not take {option} \\("):
        loader.from_pretrained(folder / name, **{option: True})


@loaders
def test_a_misspelt_option_is_an_error(loader, name, folder) -> None:
    with pytest.raises(RecipeError, match="dtyp"):
        loader.from_pretrained(folder / name, dtyp="float16")


@loaders
def test_attention_by_name(loader, name, folder) -> None:
    assert loader.from_pretrained(folder / name, attn_implementation="eager").config.attn_implementation == "eager"
    with pytest.raises((ContractError, RecipeError), match="only sdpa and eager"):
        loader.from_pretrained(folder / name, attn_implementation="flash_attention_2")


@loaders
def test_another_cache_is_read_and_nothing_is_requested(loader, name, folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(hub, "_is_offline", lambda: hub._ACCESS.get().local_files_only)
    monkeypatch.setattr(hub, "_call", lambda *_, **__: pytest.fail("the Hub was called"))
    cache_repository(tmp_path, "owner/saved", folder / name)
    options = {"cache_dir": tmp_path, "local_files_only": True}
    assert loader.from_pretrained("owner/saved", **options).dtype == torch.float32
    with pytest.raises(StorageError, match="not in the local cache"):
        loader.from_pretrained("owner/other", **options)


@loaders
def test_the_token_reaches_the_client(loader, name, folder, monkeypatch) -> None:
    seen: list[object] = []

    class Client:
        def __init__(self, token=None) -> None:
            seen.append(token)

        def model_info(self, *_, **__):
            raise OSError("enough")

    monkeypatch.setattr("huggingface_hub.HfApi", Client)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(StorageError):
        loader.from_pretrained("owner/private", token="secret")
    assert set(seen) == {"secret"}


def test_weights_from_memory() -> None:
    for made in (backbone(), model()):
        state = made.state_dict()
        again = type(made).from_pretrained(None, config=made.config, state_dict=state)
        assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in state.items())
        with pytest.raises(ContractError, match="both config and"):
            type(made).from_pretrained(None, config=made.config)
        with pytest.raises(WeightsError, match="does not fit"):
            type(made).from_pretrained(None, config=made.config, state_dict={})
        with pytest.raises(ContractError, match="two sources"):
            type(made).from_pretrained("owner/name", state_dict=state)


def test_weights_of_a_backbone_always_fit(folder) -> None:
    for loader, name in LOADERS[:4]:
        with pytest.raises(ContractError, match="ignore_mismatched_sizes"):
            loader.from_pretrained(folder / name, ignore_mismatched_sizes=True)


def test_other_fields_than_the_saved_ones(folder) -> None:
    load = bk.DetrForObjectDetection.from_pretrained
    assert load(folder / "model", return_dict=False).config.return_dict is False
    with pytest.raises(ContractError, match=r"would start at random.*ignore_mismatched_sizes=True"):
        load(folder / "model", num_queries=9)
    changed = load(folder / "model", num_queries=9, ignore_mismatched_sizes=True)
    assert changed(torch.randn(1, 3, 64, 64)).logits.shape == (1, 9, 4)
    kept = changed.model.head.state_dict()
    saved = load(folder / "model").model.head.state_dict()
    assert sum(torch.equal(kept[name], saved[name]) for name in saved if kept[name].shape == saved[name].shape) > 20
    with pytest.raises(ContractError, match="another backbone"):
        load(folder / "model", backbone_config=bk.ResNetConfig(depths=[1, 1, 1, 1]))
    config = bk.DetrConfig.from_pretrained(folder / "model", output_hidden_states=True)
    assert load(folder / "model", config=config).config.output_hidden_states


def test_a_backbone_in_the_type_of_its_configuration() -> None:
    config = bk.ResNetConfig(depths=[1, 1, 1, 1], dtype="bfloat16")
    assert bk.AutoBackbone.from_config(config).dtype == torch.bfloat16
    assert bk.AutoBackbone.from_config(config, dtype="float16").dtype == torch.float16
    assert bk.AutoBackbone.from_config(config, attn_implementation="eager").config.attn_implementation == "eager"
    assert config.attn_implementation is None


@pytest.mark.parametrize("name", ["maskformer_resnet50", "rtdetr_v2_resnet18", "upernet_convnext_tiny"])
def test_recipes_on_the_meta_device_have_no_values(name) -> None:
    made = bk.build_model(name, ["backbone.pretrained=false"], device="meta", dtype="bfloat16")
    assert {parameter.device.type for parameter in made.parameters()} == {"meta"}
    assert {parameter.dtype for parameter in made.parameters()} == {torch.bfloat16}
    assert made.weight_report.sources[0].origin == "no values, on the meta device"


def test_devices_and_types_of_composed_models(folder, tmp_path) -> None:
    assert bk.load_model(folder / "model", dtype=torch.float16, device="cpu").backbone.body.conv1.weight.dtype == (
        torch.float16
    )
    assert bk.load_model(folder / "model", device="meta").backbone.body.conv1.weight.is_meta
    for make, source in ((bk.load_model, folder / "model"), (bk.build_model, "fcn_resnet50")):
        with pytest.raises(RecipeError, match="no device is called so"):
            make(source, device="gpu")
        with pytest.raises(ContractError, match="no type of weights"):
            make(source, dtype="int8")
