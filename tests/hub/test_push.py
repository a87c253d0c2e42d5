"""A push uploads the model and nothing else, in one commit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import backbonekit as bk
from backbonekit.contract.processing import Processing
from backbonekit.errors import StorageError
from backbonekit.hub.manifest import recipe_digest
from backbonekit.hub.push import push_folder, without_local_sources
from backbonekit.hub.saved_model import save_model
from backbonekit.recipe.guard import read_yaml

PARENT = "f" * 40


class FakeApi:
    """Replaces the Hub's client and records its calls."""

    def __init__(self, *files: str) -> None:
        self.files = files
        self.created: list[tuple[str, dict[str, Any]]] = []
        self.operations: list[Any] = []
        self.options: dict[str, Any] = {}

    def create_repo(self, identifier: str, **options: Any) -> None:
        self.created.append((identifier, options))

    def model_info(self, identifier: str) -> Any:
        return SimpleNamespace(sha=PARENT, siblings=[SimpleNamespace(rfilename=name) for name in self.files])

    def create_commit(self, identifier: str, operations: list[Any], **options: Any) -> Any:
        self.operations, self.options = operations, options
        return SimpleNamespace(commit_url="https://huggingface.co/me/m1/commit/1")

    def uploaded(self) -> dict[str, bytes]:
        added = [operation for operation in self.operations if hasattr(operation, "path_or_fileobj")]
        return {
            one.path_in_repo: one.path_or_fileobj
            if isinstance(one.path_or_fileobj, bytes)
            else Path(one.path_or_fileobj).read_bytes()
            for one in added
        }


def save(folder: Path, backbone: str = "{source: timm, name: resnet18}", card: str = "# A", limit: int = 10**9) -> Path:
    return save_model(
        folder,
        recipe_yaml=f"schema_version: 1\nbackbone: {backbone}\n",
        state_dict={"a": torch.ones(10), "b": torch.ones(10)},
        processing=Processing(size=(8, 8)),
        card=card,
        max_shard_bytes=limit,
    )


def test_one_commit_with_the_files_of_the_model(tmp_path: Path):
    folder = save(tmp_path / "m1")
    (folder / "secrets.env").write_text("TOKEN=1")
    (folder / "optimizer.safetensors").write_bytes(b"")
    api = FakeApi()
    assert push_folder(folder, "me/m1", private=True, api=api) == "https://huggingface.co/me/m1/commit/1"
    assert api.created == [("me/m1", {"private": True, "exist_ok": True})]
    uploaded = api.uploaded()
    assert set(uploaded) == {"README.md", "model.safetensors", "preprocessor_config.json", "recipe.yaml"}
    assert uploaded == {name: (folder / name).read_bytes() for name in uploaded}
    assert api.options["parent_commit"] == PARENT


def test_weights_of_an_older_model_go_in_the_same_commit(tmp_path: Path):
    folder = save(tmp_path / "m1")
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    api = FakeApi("README.md", "model.safetensors", "notes.md", *shards)
    push_folder(folder, "me/m1", api=api)
    deleted = [operation.path_in_repo for operation in api.operations if not hasattr(operation, "path_or_fileobj")]
    assert deleted == shards


def test_shards_are_uploaded_with_their_index(tmp_path: Path):
    api = FakeApi("model.safetensors")
    push_folder(save(tmp_path / "m1", limit=40), "me/m1", api=api)
    assert {name for name in api.uploaded() if name.startswith("model")} == {
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    }


def test_nothing_of_this_machine_is_uploaded(tmp_path: Path):
    local = tmp_path / "checkpoints" / "mine"
    folder = save(
        tmp_path / "m1",
        backbone=f"{{source: timm, name: resnet18, pretrained: {local}}}",
        card=f"# A\nweights from {local}/model.safetensors and {Path.home()}/x",
    )
    api = FakeApi()
    push_folder(folder, "me/m1", api=api)
    uploaded = api.uploaded()
    for name, content in uploaded.items():
        assert str(tmp_path).encode() not in content, name
        assert str(Path.home()).encode() not in content, name
    recipe = read_yaml(uploaded["recipe.yaml"])
    assert recipe["backbone"]["pretrained"] is False
    before = read_yaml((folder / "recipe.yaml").read_bytes())["packed"]
    packed = recipe.pop("packed")
    assert packed == {**before, "recipe": recipe_digest(recipe)}  # the lock is of what was uploaded
    # The folder itself stays as it was.
    assert str(local) in (folder / "recipe.yaml").read_text()


@pytest.mark.parametrize("name", ["/data/ckpt", "./ckpt", "~/ckpt", "../ckpt", r"C:\ckpt", r"..\ckpt"])
def test_a_local_backbone_is_named_by_its_configuration(name: str):
    backbone = {"source": "hf", "name": name, "config": {"model_type": "resnet"}, "pretrained": True, "revision": None}
    found = without_local_sources({"backbone": backbone})["backbone"]
    assert found == {**backbone, "name": None, "pretrained": False}
    assert without_local_sources({"backbone": {"name": name}})["backbone"]["name"] == "ckpt"


def test_an_existing_folder_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    backbone = {"name": "runs/ckpt", "config": {}, "pretrained": "runs/ckpt"}
    assert without_local_sources({"backbone": backbone})["backbone"] == backbone
    (tmp_path / "runs" / "ckpt").mkdir(parents=True)
    assert without_local_sources({"backbone": backbone})["backbone"]["pretrained"] is False


def test_a_path_in_another_field_is_refused():
    with pytest.raises(StorageError, match=r"labels.0 holds a path of this machine"):
        without_local_sources({"backbone": {"name": "x"}, "labels": [f"{Path.home()}/x"]})


def test_links_are_not_followed(tmp_path: Path):
    folder = save(tmp_path / "m1")
    (tmp_path / "secret").write_text("x")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match=r"is a link, not a file"):
        push_folder(folder, "me/m1", api=FakeApi())


def test_what_cannot_be_pushed_is_refused_before_any_request(tmp_path: Path):
    api = FakeApi()
    folder = save(tmp_path / "m1")
    with pytest.raises(StorageError, match=r"neither an existing folder nor a Hub repository"):
        push_folder(folder, "m1", api=api)
    with pytest.raises(StorageError, match=r"is no saved model"):
        push_folder(tmp_path, "me/m1", api=api)
    (folder / "model.safetensors").unlink()
    with pytest.raises(StorageError, match=r"lacks the weights 'model.safetensors'"):
        push_folder(folder, "me/m1", api=api)
    (folder / "recipe.yaml").write_text("backbone: {name: x}\n")
    with pytest.raises(StorageError, match=r"does not list its weights"):
        push_folder(folder, "me/m1", api=api)
    assert api.created == []


def test_a_refusal_of_the_hub_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import errors

    api = FakeApi()

    def refuse(*args: Any, **options: Any) -> None:
        response = SimpleNamespace(status_code=403, headers={}, request=None)
        raise errors.HfHubHTTPError("You have no right to write here", response=response)  # type: ignore[arg-type]

    monkeypatch.setattr(api, "create_commit", refuse)
    with pytest.raises(
        StorageError, match=r"me/m1: upload the model: the Hub refused with status 403: You have no right"
    ):
        push_folder(save(tmp_path / "m1"), "me/m1", api=api)


def test_a_save_that_was_interrupted_after_its_one_step_is_pushed_whole(tmp_path: Path):
    folder = save(tmp_path / "m1", limit=40)
    (folder / ".committed-save").mkdir()
    new = save(tmp_path / "m2", card="# B")
    for path in new.iterdir():
        path.rename(folder / ".committed-save" / path.name)
    written = [path.name for path in (folder / ".committed-save").iterdir()]
    deleted = [path.name for path in folder.iterdir() if path.is_file() and path.name not in written]
    listing = json.dumps({"written": written, "deleted": deleted})
    (folder / ".committed-save" / ".files.json").write_text(listing)
    api = FakeApi()
    push_folder(folder, "me/m1", api=api)
    assert set(api.uploaded()) == {"README.md", "model.safetensors", "preprocessor_config.json", "recipe.yaml"}
    assert api.uploaded()["README.md"] == b"# B\n"


def test_a_model_for_transformers_replaces_the_recipe_of_the_repository(monkeypatch):
    api = FakeApi("recipe.yaml", "model-00001-of-00002.safetensors", "notes.txt")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda **options: api)
    backbone = {"source": "timm", "name": "resnet18"}
    model = bk.build_model({"backbone": backbone, "head": {"name": "upernet", "num_classes": 3, "channels": 8}})
    address = model.push_to_hub("me/m1", format="transformers", commit_message="For transformers", private=True)
    assert address.endswith("/commit/1")
    assert api.created == [("me/m1", {"private": True, "exist_ok": True})]
    assert api.options == {"commit_message": "For transformers", "parent_commit": PARENT}
    deleted = {one.path_in_repo for one in api.operations if not hasattr(one, "path_or_fileobj")}
    assert deleted == {"recipe.yaml", "model-00001-of-00002.safetensors"}
    names = {one.path_in_repo for one in api.operations} - deleted
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
