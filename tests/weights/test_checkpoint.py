"""Single files, shards and what must not be opened."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backbonekit.errors import StorageError, WeightsError
from backbonekit.weights.checkpoint import checkpoint_of, open_checkpoint, weight_files
from backbonekit.weights.repository import open_repository
from tests.weights.conftest import COMMIT


def write_sharded(folder: Path, **weight_map: str) -> None:
    save_file({"a": torch.zeros(2)}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": torch.ones(3, 4)}, folder / "model-00002-of-00002.safetensors")
    index = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", **weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def test_a_folder_with_one_file(tmp_path: Path):
    save_file({"b.x": torch.ones(3, 4), "a": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    checkpoint = open_checkpoint(tmp_path)
    assert sorted(checkpoint.keys()) == ["a", "b.x"]
    assert checkpoint.shape("b.x") == (3, 4)
    assert checkpoint.dtype("b.x") is torch.float32
    assert torch.equal(checkpoint.tensor("b.x"), torch.ones(3, 4))
    assert checkpoint.origin == str(tmp_path)
    assert checkpoint.licence == "mit"
    assert checkpoint.under("b.").keys() == ("x",)
    assert weight_files(open_repository(tmp_path)) == ("model.safetensors",)
    with pytest.raises(WeightsError, match=r"has no tensor 'b.y'; did you mean 'b.x'\?"):
        checkpoint.tensor("b.y")


def test_one_file_by_name(tmp_path: Path):
    save_file({"a": torch.zeros(2)}, tmp_path / "anything.safetensors")
    assert open_checkpoint(tmp_path / "anything.safetensors").keys() == ("a",)


def test_shards(tmp_path: Path):
    write_sharded(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert sorted(checkpoint.keys()) == ["a", "b"]
    assert torch.equal(checkpoint.tensor("b"), torch.ones(3, 4))
    assert weight_files(open_repository(tmp_path)) == (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    )


def test_a_cached_repository(hub_cache, tmp_path: Path):
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    hub_cache("owner/name", {"model.safetensors": (tmp_path / "x.safetensors").read_bytes()})
    checkpoint = open_checkpoint(open_repository("owner/name"))
    assert checkpoint.origin == "owner/name@01234567"
    assert checkpoint.commit == COMMIT


def test_a_cached_repository_without_its_weights(hub_cache):
    hub_cache("owner/name", {"config.json": b"{}"})
    with pytest.raises(StorageError, match=r"model.safetensors is not in the local cache .* go online once"):
        open_checkpoint(open_repository("owner/name"))


@pytest.mark.parametrize(
    "shard",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "other/x.safetensors",
        "model.bin",
        "..\\x.safetensors",
        "a..safetensors/",
    ],
)
def test_an_index_points_nowhere_else(tmp_path: Path, shard: str):
    folder = tmp_path / "inside"
    folder.mkdir()
    save_file({"c": torch.zeros(2)}, tmp_path / "outside.safetensors")
    write_sharded(folder, c=shard)
    with pytest.raises(WeightsError, match=r"a shard is a .safetensors file beside its index"):
        open_checkpoint(folder)


def test_an_index_of_wrong_types(tmp_path: Path):
    for content in ("{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 5}}'):
        (tmp_path / "model.safetensors.index.json").write_text(content)
        with pytest.raises(WeightsError, match=r"model\.safetensors\.index\.json"):
            open_checkpoint(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path):
    write_sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"the shard 'model-00002-of-00002.safetensors', which .* is missing"):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path):
    write_sharded(tmp_path)
    save_file({"a": torch.zeros(2), "b": torch.ones(3, 4)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"holds the tensor 'a', but .* lists it in 'model-00001"):
        open_checkpoint(tmp_path)


def test_a_tensor_that_no_shard_holds(tmp_path: Path):
    write_sharded(tmp_path, c="model-00001-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"lists 'c' in 'model-00001-of-00002.safetensors', which does not hold it"):
        open_checkpoint(tmp_path)


def test_a_duplicate_key_in_the_index(tmp_path: Path):
    write_sharded(tmp_path)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}')
    with pytest.raises(StorageError, match=r"the key 'a' appears twice"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pth", "last.ckpt", "pytorch_model.bin.index.json", "w.pt"]
)
def test_pickles_are_never_opened(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(WeightsError, match=rf"only {name}: .* `backbonekit convert FILE DIR`"):
        open_checkpoint(tmp_path)


def test_a_pickle_by_name(tmp_path: Path):
    (tmp_path / "model.pth").write_bytes(b"cos\nsystem\n")
    with pytest.raises(WeightsError, match=r"backbonekit convert FILE DIR"):
        open_checkpoint(tmp_path / "model.pth")
    with pytest.raises(StorageError, match=r"do not exist"):
        open_checkpoint(tmp_path / "other.pth")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(WeightsError, match=r"is no weights file"):
        open_checkpoint(tmp_path / "notes.txt")


def test_a_folder_without_weights(tmp_path: Path):
    with pytest.raises(StorageError, match=r"has no model.safetensors"):
        open_checkpoint(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "ema.safetensors")
    with pytest.raises(WeightsError, match=r"has no model.safetensors, but ema.safetensors: rename it"):
        open_checkpoint(tmp_path)


def test_tensors_in_memory():
    tensor = torch.zeros(2)
    assert checkpoint_of({"a": tensor}, origin="memory").tensor("a") is tensor
