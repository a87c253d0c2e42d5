"""A model in a folder of a private Hub repository, opened by its address and a token; weights= of a whole model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.assembly.load import build_filled
from backbonekit.errors import StorageError, WeightsError
from backbonekit.recipe.compose import compose_recipe
from tests.fixed_weights import randomise_weights
from tests.weights.fake_hub import FakeHub

COMMIT = "1" * 40
RECIPE = {
    "backbone": {"source": "timm", "name": "resnet18"},
    "neck": None,
    "head": {"name": "fcn", "channels": 8, "num_classes": 3},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[bk.ComposedModel, Path]:
    model = randomise_weights(bk.build_model(RECIPE))
    return model, model.save_pretrained(tmp_path_factory.mktemp("saved") / "model", max_shard_size="20MB")


@pytest.fixture
def hub(saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    with FakeHub() as running:
        running.commits = {COMMIT: {f"runs/best/{path.name}": path.read_bytes() for path in saved[1].iterdir()}}
        running.branches = {"v1": COMMIT}
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


def weights_of(model: torch.nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def test_an_address_with_a_revision_a_folder_and_a_token(saved, hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    model = bk.load_model("hf://owner/name@v1/runs/best", token="hf_secret")
    for given, expected in zip(weights_of(model), weights_of(saved[0]), strict=True):
        assert torch.equal(given, expected)
    assert set(hub.tokens) == {"Bearer hf_secret"}
    assert not any("hf_secret" in request for request in hub.requests)
    assert model.weight_report.sources[0].origin == f"owner/name@{COMMIT[:8]}/runs/best"
    # Everything is in the cache now.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    bk.load_model("hf://owner/name@v1/runs/best")
    assert hub.requests == []


def test_a_private_repository_without_a_token_and_a_folder_that_is_not_there(hub: FakeHub):
    with pytest.raises(StorageError, match=rf"owner/name@{COMMIT[:8]}/runs/worst is no model"):
        bk.load_model("hf://owner/name@v1/runs/worst")
    hub.gate = 401
    with pytest.raises(StorageError, match="hf auth login"):
        bk.load_model("hf://owner/name@v1/runs/best", token=False)


def test_weights_fill_the_whole_of_another_recipe(saved, tmp_path: Path):
    model, folder = saved
    recipe = compose_recipe(RECIPE, ["head.dropout=0.3", "labels=[a,b,c]"])
    single = tmp_path / "weights.safetensors"
    save_file({name: one.contiguous() for name, one in model.state_dict().items()}, single)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "model.safetensors").write_bytes(single.read_bytes())
    for where in (folder, single, bare):
        filled = build_filled(recipe, where)
        assert filled.labels.names == ("a", "b", "c")
        assert filled.weight_report.pretrained_share == 1
        for given, expected in zip(weights_of(filled), weights_of(model), strict=True):
            assert torch.equal(given, expected)


def test_weights_that_do_not_fit_are_refused(saved, tmp_path: Path):
    folder = saved[1]
    with pytest.raises(WeightsError, match="classifier"):
        build_filled(compose_recipe(RECIPE, ["head.num_classes=5"]), folder)
    with pytest.raises(WeightsError):
        build_filled(compose_recipe(RECIPE, ["backbone=timm/resnet34"]), folder)
    tensors = {name: one for file in folder.glob("*.safetensors") for name, one in load_file(file).items()}
    save_file({**tensors, "ema.weight": torch.ones(1)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"'ema\.weight' is no name of a model's weights"):
        build_filled(compose_recipe(RECIPE), tmp_path / "more.safetensors")


def test_shards_by_a_small_limit_are_the_same_bytes_twice(saved, tmp_path: Path):
    model, folder = saved
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert all((folder / name).stat().st_size < 21_000_000 for name in shards)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(shards)
    again = model.save_pretrained(tmp_path / "again", max_shard_size="20MB")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
