"""A Hub that lies or stalls: the real client against a Hub on this machine. Nothing is written outside the cache."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.fake_hub import FakeHub
from tests.weights.test_hub_downloads import COMMIT, READ, run, stored

HOSTILE_ETAGS = ["../../../../evil", "a/b", "..", "", "x" * 300, 'W/"x"', "0" * 39]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        running.commits = {COMMIT: {"config.json": b'{"a": 1}'}}
        running.branches = {"main": COMMIT}
        yield running


@pytest.mark.parametrize("etag", [*HOSTILE_ETAGS, "absolute"])
def test_an_etag_that_is_no_hash_is_refused_before_anything_is_written(hub: FakeHub, tmp_path: Path, etag: str):
    home = tmp_path / "deep" / "home"
    hub.etags = {"config.json": str(tmp_path / "evil") if etag == "absolute" else etag}
    messages, _ = run(READ % ["config.json"], hub, home)
    assert "the Hub named no hash of it" in messages["config.json"] or "ETag" in messages["config.json"]
    assert stored(home) == set()
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_small_file_is_compared_with_its_git_hash(hub: FakeHub, tmp_path: Path):
    content = hub.commits[COMMIT]["config.json"]
    git_hash = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    hub.etags = {"config.json": git_hash}
    hub.faults = {"config.json": "flip"}
    messages, _ = run(READ % ["config.json"], hub, tmp_path)
    assert "config.json is damaged (its git hash is not" in messages["config.json"]
    assert stored(tmp_path) == set()
    hub.faults = {}
    assert run(READ % ["config.json"], hub, tmp_path)[0] == {"config.json": "gave 8"}


def test_a_damaged_file_in_the_cache_is_found_and_removed(hub: FakeHub, tmp_path: Path):
    assert run(READ % ["config.json"], hub, tmp_path)[0] == {"config.json": "gave 8"}
    blob = next(tmp_path.glob("hub/*/snapshots/*/config.json")).resolve()
    blob.write_bytes(b'{"a": 2}')
    messages, _ = run(READ % ["config.json"], hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "config.json is damaged (its sha256 is not" in messages["config.json"]
    assert not blob.exists()


@pytest.mark.parametrize("sha", [5, None, "", "../../x", "A" * 40])
def test_a_commit_that_is_none_is_refused(hub: FakeHub, tmp_path: Path, sha: object):
    hub.described = {"sha": sha}
    scenario = 'print(json.dumps(message(lambda: open_repository("owner/name"))))'
    message, _ = run(scenario, hub, tmp_path)
    assert "the Hub named no commit" in message or "the Hub did not respond" in message


def test_a_file_that_drips_is_given_up(hub: FakeHub, tmp_path: Path):
    hub.faults = {"config.json": "drip"}
    patience = "from backbonekit.weights import hub; hub._PATIENCE = 1.0\n"
    messages, _ = run(patience + READ % ["config.json"], hub, tmp_path)
    assert "not finished after 1 seconds" in messages["config.json"]
    assert stored(tmp_path) == set()


def test_redirects_without_end(hub: FakeHub, tmp_path: Path):
    hub.faults = {"config.json": "loop"}
    messages, _ = run(READ % ["config.json"], hub, tmp_path)
    assert "the Hub did not respond, or broke off (TooManyRedirects" in messages["config.json"]
    assert len(hub.requests) < 100
    assert stored(tmp_path) == set()


@pytest.mark.parametrize("siblings", [["../../x"], [{"rfilename": 5}], 5, [None], "x", [{"rfilename": "../../x"}]])
def test_a_list_of_files_that_is_none(hub: FakeHub, tmp_path: Path, siblings: object):
    hub.described = {"siblings": siblings}
    scenario = 'print(json.dumps(message(lambda: open_repository("owner/name").has("recipe.yaml"))))'
    message, _ = run(scenario, hub, tmp_path)
    assert message == "gave False" or "the Hub did not respond, or broke off" in message


def test_a_text_that_is_too_long_is_not_downloaded(hub: FakeHub, tmp_path: Path):
    hub.commits[COMMIT] = {"config.json": bytes(17 * 2**20), "README.md": bytes(17 * 2**20)}
    scenario = """
repository = open_repository("owner/name")
print(json.dumps([message(lambda: repository.json("config.json")), message(lambda: repository.licence)]))
"""
    (config, licence), _ = run(scenario, hub, tmp_path)
    assert "config.json has 17,825,792 bytes; more than 16,777,216 are not downloaded" in config
    assert licence == "gave None"
    assert stored(tmp_path) == set()
