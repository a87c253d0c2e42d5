"""The real client against a Hub on this machine. In a process of its own: the client reads its settings at import."""

import json
import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import save
from torch import ones, zeros

from tests.weights.fake_hub import FakeHub

FIRST, SECOND = "1" * 40, "2" * 40

SCENARIO = """
import json, sys
from backbonekit.errors import StorageError
from backbonekit.weights.checkpoint import open_checkpoint
from backbonekit.weights.repository import open_repository

said = []

def message(action):
    try:
        action()
    except StorageError as error:
        said.append(str(error))
    else:
        said.append("nothing")

repository = open_repository("owner/name")
print("opened", flush=True)
sys.stdin.readline()  # the branch moves now
checkpoint = open_checkpoint(repository)
message(lambda: open_repository("owner/other"))
message(lambda: open_repository("owner/name", revision="v9"))
message(lambda: repository.path("absent.json"))
message(lambda: repository.path("damaged.bin"))
message(lambda: repository.path("damaged.bin"))
message(lambda: repository.path("failing.bin"))
print(json.dumps({
    "commit": repository.commit,
    "config": repository.json("config.json"),
    "first": checkpoint.tensor("a")[0].item(),
    "licence": checkpoint.licence,
    "moved": open_repository("owner/name").commit,
    "said": said,
}))
"""


def test_one_commit_for_all_files_and_a_message_for_every_fault(tmp_path: Path):
    with FakeHub() as hub:
        hub.commits = {
            FIRST: {
                "config.json": b'{"version": 1}',
                "model.safetensors": save({"a": ones(2)}),
                "README.md": b"---\nlicense: mit\n---\n",
                "damaged.bin": b"one content",
                "failing.bin": b"another content",
            },
            SECOND: {"config.json": b'{"version": 2}', "model.safetensors": save({"a": zeros(2)})},
        }
        hub.branches = {"main": FIRST}
        hub.faults = {"damaged.bin": "flip", "failing.bin": "500"}
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_marker",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", SCENARIO],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        started = process.stdout.readline()
        hub.branches = {"main": SECOND}
        output, errors = process.communicate("\n", timeout=100)
    assert started == "opened\n", errors
    assert process.returncode == 0, errors
    found = json.loads(output)
    assert found["commit"] == FIRST
    assert found["config"] == {"version": 1}
    assert found["first"] == 1
    assert found["licence"] == "mit"
    assert found["moved"] == SECOND
    other, revision, absent, damaged, again, failing = found["said"]
    assert "owner/other does not exist on the Hub" in other
    assert "owner/name has no branch, tag or commit 'v9'" in revision
    assert "owner/name has no file 'absent.json'" in absent
    assert "damaged.bin is damaged" in damaged
    assert again == damaged
    assert "owner/name: failing.bin: the Hub failed with status 500" in failing
    assert "hf_marker" not in output + errors + "".join(hub.requests)
    assert not any(SECOND in request for request in hub.requests)
