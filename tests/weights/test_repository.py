"""Local folders and the offline Hub cache; ids and revisions are checked before any call."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from backbonekit.errors import StorageError
from backbonekit.weights import hub
from backbonekit.weights.repository import open_repository
from tests.weights.conftest import COMMIT


def test_a_folder_wins_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "config.json").write_text('{"a": 1}')
    monkeypatch.chdir(tmp_path)
    repository = open_repository("owner/name")
    assert repository.commit is None
    assert repository.folder == Path("owner/name")
    assert repository.has("config.json")
    assert not repository.has("other.json")
    assert repository.json("config.json") == {"a": 1}
    assert repository.files == {"config.json"}
    with pytest.raises(StorageError, match=r"has no file 'confg.json'; did you mean 'config.json'\?"):
        repository.path("confg.json")
    with pytest.raises(StorageError, match=r"local folder and has no revisions"):
        open_repository("owner/name", revision="main")


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "resnet50",
        "a/b/c",
        "../x/y",
        "a/../b",
        "a/b--c",
        "-a/b",
        "a/b.",
        "a b/c",
        "hf://a/b",
        "a/b\0",
        "x" * 5000,
        "a/" + "b" * 97,
    ],
)
def test_what_is_neither_folder_nor_repository_is_refused(identifier: str):
    with pytest.raises(StorageError):
        open_repository(identifier)


@pytest.mark.parametrize("path", ["./runs/m1", "/nowhere/m1", "~/nowhere/m1", Path("owner/name")])
def test_a_missing_folder_is_not_looked_for_on_the_hub(path: str | Path):
    with pytest.raises(StorageError, match=r"does not exist"):
        open_repository(path)


@pytest.mark.parametrize("revision", ["", "../x", "a//b", "a b", "refs/../..", "/abs", "-f", "a" * 300, "a\n", "ä"])
def test_revisions_are_checked_before_any_call(revision: str, hub_cache):
    with pytest.raises(StorageError, match=r"is no branch, tag or commit"):
        open_repository("owner/name", revision=revision)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\b", "c:x", "a\0b"])
def test_file_names_stay_inside(tmp_path: Path, name: str):
    with pytest.raises(StorageError, match=r"no name of a file inside"):
        open_repository(tmp_path).path(name)


def test_a_cached_repository_opens_offline(hub_cache):
    snapshot = hub_cache("owner/name", {"config.json": b'{"a": 1}'})
    for revision in (None, "main", COMMIT):
        repository = open_repository("owner/name", revision=revision)
        assert repository.commit == COMMIT
        assert repository.origin == "owner/name@01234567"
        assert repository.path("config.json") == snapshot / "config.json"
        assert repository.json("config.json") == {"a": 1}
        assert repository.has("config.json")
        assert not repository.has("model.safetensors")
    with pytest.raises(
        StorageError, match=r"owner/name: model.safetensors .* not in the local cache .* go online once"
    ):
        repository.path("model.safetensors")


def test_what_is_not_cached_has_a_message_with_the_fix(hub_cache):
    with pytest.raises(StorageError, match=r"owner/other .* not in the local cache .* `hf download owner/other`"):
        open_repository("owner/other")


class NoRouteError(Exception):
    """Stands for an error of whatever HTTP library the Hub's client uses."""


def test_without_a_response_the_cache_is_used(hub_cache, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import HfApi, constants

    hub_cache("owner/name", {"config.json": b"{}"})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def fail(*args: object, **options: object) -> None:
        raise NoRouteError("no route")

    monkeypatch.setattr(HfApi, "model_info", fail)
    repository = open_repository("owner/name")
    assert repository.commit == COMMIT
    assert not repository.has("model.safetensors")
    with pytest.raises(StorageError, match=r"the Hub did not respond, or broke off .NoRouteError: no route."):
        open_repository("owner/other")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RepositoryNotFoundError", "does not exist on the Hub, or is private"),
        ("GatedRepoError", "is gated: accept its terms"),
        ("RevisionNotFoundError", "has no branch, tag or commit 'main'"),
    ],
)
def test_refusals_of_the_hub_have_messages(error: str, message: str, hub_cache, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import HfApi, constants, errors

    hub_cache("owner/name", {"config.json": b"{}"})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    response = SimpleNamespace(status_code=404, headers={}, request=None)

    def fail(*args: object, **options: object) -> None:
        raise getattr(errors, error)("refused", response=response)

    monkeypatch.setattr(HfApi, "model_info", fail)
    # A repository that is gone is not quietly replaced by what was cached once.
    with pytest.raises(StorageError, match=message):
        open_repository("owner/name")


def test_a_damaged_download_is_reported_and_removed(tmp_path: Path):
    blob = tmp_path / "blobs" / ("a" * 64)
    blob.parent.mkdir()
    blob.write_bytes(b"other bytes")
    with pytest.raises(StorageError, match=r"model.safetensors is damaged .* removed; try once more"):
        hub._check_blob(blob, "owner/name", "model.safetensors")
    assert not blob.exists()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags:\n- a\n---\n# Model", "apache-2.0"),
        ("---\r\nlicense: 'cc-by-nc-4.0'\r\n---\r\n", "cc-by-nc-4.0"),
        ("# Model\nlicense: mit\n", None),
        ("---\nlicense:\n- mit\n---\n", None),
        ("---\nlicense: \x1b[31mred\n---\n", None),
    ],
)
def test_the_licence_is_read_from_the_cards_header(tmp_path: Path, card: str, licence: str | None):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert open_repository(tmp_path).licence == licence


def test_a_folder_without_a_card_has_no_licence(tmp_path: Path):
    assert open_repository(tmp_path).licence is None


def test_opening_a_folder_imports_neither_torch_nor_the_hubs_client(tmp_path: Path):
    script = (
        "import sys; from backbonekit.weights.repository import open_repository; open_repository(sys.argv[1]).has('x');"
        " print(sorted({'torch', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
