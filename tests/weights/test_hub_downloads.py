"""Downloads that go wrong, and one that is watched: the real client against a Hub on this machine."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save
from torch import linspace, ones

from backbonekit import ResNetBackbone, ResNetConfig
from tests.weights.fake_hub import FakeHub

COMMIT = "1" * 40
PRELUDE = """
import json, sys
from backbonekit.errors import StorageError
from backbonekit.weights.repository import open_repository

def message(action):
    try:
        return f"gave {action()}"
    except StorageError as error:
        return str(error)
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        running.commits = {COMMIT: {}}
        running.branches = {"main": COMMIT}
        yield running


def environment(hub: FakeHub, home: Path, **more: str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_marker",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        **more,
    }


def run(scenario: str, hub: FakeHub, home: Path, **more: str) -> tuple[Any, str]:
    """What the scenario printed as JSON, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + scenario],
        env=environment(hub, home, **more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hf_marker" not in done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def stored(home: Path) -> set[str]:
    """The names under which the cache offers files."""
    return {path.name for path in home.glob("hub/models--owner--name/snapshots/*/*")}


READ = """
repository = open_repository("owner/name")
print(json.dumps({name: message(lambda: len(repository.path(name).read_bytes())) for name in %r}))
"""


def test_a_connection_that_ends_is_resumed_or_reported(hub: FakeHub, tmp_path: Path):
    faults = {"resumed.bin": "cut once", "cut.bin": "cut", "short.bin": "short", "moment.bin": "500 once"}
    # Half a MiB each, and of its own: the cache keeps equal contents only once.
    contents = {name: name.encode().ljust(16) * 2**15 for name in faults}
    hub.commits[COMMIT] = dict(contents)
    hub.faults = dict(faults)
    messages, errors = run(READ % list(faults), hub, tmp_path)
    assert messages["resumed.bin"] == messages["moment.bin"] == f"gave {2**19}"
    for name in ("cut.bin", "short.bin"):
        assert messages[name].startswith(f"owner/name: {name}: the Hub did not respond, or broke off ("), messages[name]
    # Nothing half written is offered as whole.
    assert stored(tmp_path) == {"resumed.bin", "moment.bin"}
    for name in stored(tmp_path):
        assert next(tmp_path.glob(f"hub/*/snapshots/*/{name}")).read_bytes() == contents[name]
    assert "Traceback" not in errors
    # With a Hub that works again, the same call returns the files.
    hub.faults = {}
    messages, _ = run(READ % list(faults), hub, tmp_path)
    assert set(messages.values()) == {f"gave {2**19}"}


@pytest.mark.slow
def test_a_hub_that_does_not_respond_times_out(hub: FakeHub, tmp_path: Path):
    hub.commits[COMMIT] = {"slow.bin": b"content"}
    hub.faults = {"slow.bin": "slow"}
    impatient = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    messages, _ = run(READ % ["slow.bin"], hub, tmp_path, **impatient)
    assert "owner/name: slow.bin: the Hub did not respond, or broke off (" in messages["slow.bin"]
    assert stored(tmp_path) == set()


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_is_reported_with_the_fix(hub: FakeHub, tmp_path: Path, status: int):
    hub.commits[COMMIT] = {"config.json": b"{}"}
    hub.gate = status
    scenario = f"""
print(json.dumps([
    message(lambda: open_repository("owner/name")),
    message(lambda: open_repository("owner/name", revision="{COMMIT}").path("config.json")),
]))
"""
    messages, _ = run(scenario, hub, tmp_path)
    for message in messages:
        assert "owner/name is gated: accept its terms on https://huggingface.co/owner/name" in message
        assert "`hf auth login`" in message


def test_the_token_stays_with_the_hub(hub: FakeHub, tmp_path: Path):
    """Large files come from another host, to which the Hub redirects."""
    weights = save({"a": ones(2)})
    hub.commits[COMMIT] = {"config.json": b"{}", "model.safetensors": weights}
    hub.faults = {"model.safetensors": "elsewhere"}
    with FakeHub() as other:
        other.commits = hub.commits
        # Another name of this machine, so that it is another host to the client.
        hub.elsewhere = other.address.replace("127.0.0.1", "localhost")
        messages, _ = run(READ % ["config.json", "model.safetensors"], hub, tmp_path)
        assert messages == {"config.json": "gave 2", "model.safetensors": f"gave {len(weights)}"}
        assert other.requests
        assert set(other.tokens) == {None}
    assert "Bearer hf_marker" in hub.tokens


def test_what_was_downloaded_is_there_without_a_network(hub: FakeHub, tmp_path: Path):
    hub.commits[COMMIT] = {"config.json": b"{}", "later.json": b"{}"}
    assert run(READ % ["config.json"], hub, tmp_path)[0] == {"config.json": "gave 2"}
    num_requests = len(hub.requests)
    offline, _ = run(READ % ["config.json", "later.json"], hub, tmp_path, HF_HUB_OFFLINE="1")
    assert len(hub.requests) == num_requests
    hub.server.shutdown()
    hub.server.server_close()
    impatient = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    gone, _ = run(READ % ["config.json"], hub, tmp_path, **impatient)
    assert offline["config.json"] == gone["config.json"] == "gave 2"
    assert "later.json" in offline["later.json"]
    assert "is not in the local cache" in offline["later.json"]
    assert "go online once" in offline["later.json"]
    nothing, _ = run(
        'print(json.dumps(message(lambda: open_repository("owner/new"))))', hub, tmp_path, HF_HUB_OFFLINE="1"
    )
    assert "owner/new (revision 'main') is not in the local cache" in nothing


def test_a_download_is_shown_on_a_terminal_and_nowhere_else(hub: FakeHub, tmp_path: Path):
    hub.commits[COMMIT] = {"model.safetensors": bytes(300_000)}
    _, errors = run(READ % ["model.safetensors"], hub, tmp_path / "piped")
    assert errors == ""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))  # rows, columns
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + READ % ["model.safetensors"]],
        env=environment(hub, tmp_path / "shown"),
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert json.loads(output) == {"model.safetensors": "gave 300000"}  # and nothing of the bar on standard output
    assert b"model.safetensors" in shown
    assert b"100%" in shown


LOAD = """
import torch
import backbonekit as bk

backbone = bk.AutoBackbone.from_pretrained("owner/name", revision="v1", out_indices=(1, 2))
maps = backbone(torch.linspace(-1, 1, 3 * 33 * 47).reshape(1, 3, 33, 47)).feature_maps
recipe = {"backbone": {"source": "hf", "name": "owner/name", "revision": "v1", "pretrained": True, "out_indices": [2]}}
model = bk.build_model(recipe)
print(json.dumps({
    "maps": [one.double().sum().item() for one in maps],
    "origin": model.weight_report.sources[0].origin,
    "share": model.weight_report.pretrained_share,
}))
"""


def test_a_pretrained_backbone_arrives_in_shards_at_its_revision(hub: FakeHub, tmp_path: Path):
    config = ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_indices=(1, 2))
    saved = ResNetBackbone(config)
    saved.save_pretrained(tmp_path / "saved")
    tensors = load((tmp_path / "saved" / "model.safetensors").read_bytes())
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    index = {"metadata": {}, "weight_map": {name: shard for shard, held in shards.items() for name in held}}
    hub.commits[COMMIT] = {
        "config.json": (tmp_path / "saved" / "config.json").read_bytes(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{shard: save({name: tensors[name] for name in held}) for shard, held in shards.items()},
    }
    hub.commits["2" * 40] = {"config.json": b"{}"}
    hub.branches = {"v1": COMMIT, "main": "2" * 40}
    found, errors = run(LOAD, hub, tmp_path / "home")
    assert errors == ""
    pixel_values = linspace(-1, 1, 3 * 33 * 47).reshape(1, 3, 33, 47)
    expected = [one.double().sum().item() for one in saved(pixel_values).feature_maps]
    assert found["maps"] == pytest.approx(expected, rel=1e-5)
    assert found["origin"] == "owner/name@11111111"
    assert found["share"] == 1
    assert not any("2" * 40 in request for request in hub.requests)
    num_requests = len(hub.requests)
    assert run(LOAD, hub, tmp_path / "home", HF_HUB_OFFLINE="1")[0] == found
    assert len(hub.requests) == num_requests
