"""A folder is replaced in one step: whatever happens on the way, it holds the whole old set or the whole new one."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from backbonekit.errors import StorageError
from backbonekit.weights.write_folder import COMMITTED, file_in, files_in, replacing

ROOT = Path(__file__).parents[2]
OLD = {"recipe.yaml": "old", "model-1.safetensors": "old", "model-2.safetensors": "old"}
NEW = {"recipe.yaml": "new", "model.safetensors": "new", "README.md": "new"}


def is_old_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(folder: Path, files: dict[str, str]) -> None:
    with replacing(folder, stale=is_old_weights, last="recipe.yaml") as new:
        for name, text in files.items():
            (new / name).write_text(text)


def read(folder: Path) -> dict[str, str]:
    """As the readers of the package see it, without the user's own files."""
    return {name: file_in(folder, name).read_text() for name in files_in(folder) if name != "events.log"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "m1"
    write(folder, OLD)
    (folder / "events.log").write_text("mine")
    (folder / "logs").mkdir()
    (folder / "logs" / "one").write_text("mine")
    return folder


def assert_nothing_is_left_over(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "events.log",
        "logs",
        "model.safetensors",
        "recipe.yaml",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["m1"]
    assert (folder / "logs" / "one").read_text() == (folder / "events.log").read_text() == "mine"


KILLED = """
import sys
from pathlib import Path
from tests.weights.killed_saves import folders_after_a_kill
from tests.weights.test_write_folder import NEW, OLD, assert_nothing_is_left_over, read, write

outcomes, others = [], []
for folder in folders_after_a_kill(Path(sys.argv[1]), lambda folder: write(folder, NEW)):
    found = read(folder)
    assert found in (OLD, NEW), found
    outcomes.append(found["recipe.yaml"])
    seen = {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.name != "events.log"}
    assert seen in (OLD, NEW) or "recipe.yaml" not in seen, seen
    others.append(seen in (OLD, NEW))
    write(folder, NEW)
    assert read(folder) == NEW
    assert_nothing_is_left_over(folder)
assert outcomes == sorted(outcomes, reverse=True), outcomes
print(outcomes.count("old"), outcomes.count("new"), others.count(False))
"""


def test_a_save_that_is_killed_at_any_file_operation_leaves_the_old_or_the_new_files(old: Path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(old)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    before, after, incomplete = map(int, done.stdout.split())
    assert before > 8  # files opened and flushed, before the one step
    assert after > 8  # files moved, after it
    assert incomplete > 3  # for other programs: without the recipe, never a mixture


def test_a_save_that_is_killed_before_the_folder_exists_leaves_none(tmp_path: Path):
    script = """
import sys
from itertools import count
from pathlib import Path
from tests.weights.killed_saves import folders_after_a_kill
from tests.weights.test_write_folder import NEW, read, write

states = []
for folder in folders_after_a_kill(Path(sys.argv[1]), lambda folder: write(folder / "deep" / "m2", NEW)):
    model = folder / "deep" / "m2"
    states.append(model.exists())
    assert not model.exists() or read(model) == NEW
    write(model, NEW)
    assert [path.name for path in model.parent.iterdir()] == ["m2"]
assert states == sorted(states) and states.count(False) > 5 and states[-1], states
"""
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "empty")], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_that_save_to_one_folder(old: Path):
    script = """
import sys
from pathlib import Path
from tests.weights.test_write_folder import write

who = sys.argv[2]
for round in range(60):
    write(Path(sys.argv[1]), {"recipe.yaml": who, f"model-{who}.safetensors": who, "README.md": who})
"""
    racing = [
        subprocess.Popen([sys.executable, "-c", script, str(old), who], stderr=subprocess.PIPE, cwd=ROOT)
        for who in "ab"
    ]
    for process in racing:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    found = read(old)
    who = found["recipe.yaml"]
    assert found == {"recipe.yaml": who, f"model-{who}.safetensors": who, "README.md": who}
    assert not [path for path in old.iterdir() if path.name.startswith(".")]


def test_a_running_save_is_not_taken_for_an_abandoned_one(old: Path):
    with replacing(old, stale=is_old_weights, last="recipe.yaml") as first:
        (first / "recipe.yaml").write_text("first")
        write(old, NEW)
        assert (first / "recipe.yaml").read_text() == "first"
    assert read(old)["recipe.yaml"] == "first"


@contextmanager
def refused(call: str, code: int, monkeypatch: pytest.MonkeyPatch, *, at: int = 1):
    """Inside, the `at`-th and every later call of a function of `os` fails."""
    original, left = getattr(os, call), at

    def fail(*arguments, **options):
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError(code, os.strerror(code))
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize(("call", "at"), [("mkdir", 1), ("fsync", 1), ("fsync", 4), ("rename", 1)])
def test_a_folder_that_cannot_be_written_keeps_the_old_files(
    old: Path, code: int, call: str, at: int, monkeypatch: pytest.MonkeyPatch
):
    with (
        refused(call, code, monkeypatch, at=at),
        pytest.raises(StorageError, match=f"{old} (cannot|could not) be written: {os.strerror(code)}"),
    ):
        write(old, NEW)
    assert read(old) == OLD
    assert not [path for path in old.iterdir() if path.name.startswith(".")]


def test_an_error_after_the_step_leaves_the_new_files(old: Path, monkeypatch: pytest.MonkeyPatch):
    with refused("replace", errno.EIO, monkeypatch, at=2), pytest.raises(StorageError, match="Input/output error"):
        write(old, NEW)
    assert read(old) == NEW
    write(old, NEW)
    assert_nothing_is_left_over(old)


def test_a_full_disk_while_the_files_are_written(old: Path):
    """A limit on the size of files, as the system enforces it."""
    script = """
import resource, signal, sys
from pathlib import Path
from backbonekit.errors import StorageError
from tests.weights.test_write_folder import NEW, write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(Path(sys.argv[1]), {**NEW, "model.safetensors": "x" * 5000})
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(old)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"{old} could not be written: File too large.\n", done.stderr
    assert read(old) == OLD


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(old: Path):
    old.chmod(0o555)
    with pytest.raises(StorageError, match="cannot be written: Permission denied"):
        write(old, NEW)
    old.chmod(0o755)
    assert read(old) == OLD


def test_a_save_through_a_link_writes_what_it_points_to(old: Path, tmp_path: Path):
    link = tmp_path / "latest"
    link.symlink_to(old)
    write(link, NEW)
    assert link.is_symlink()
    assert read(old) == read(link) == NEW
    assert_nothing_is_left_over(old)


def test_a_save_through_a_link_to_nothing_makes_the_folder(tmp_path: Path):
    (tmp_path / "latest").symlink_to(tmp_path / "m2")
    write(tmp_path / "latest", NEW)
    assert (tmp_path / "latest").is_symlink()
    assert read(tmp_path / "m2") == NEW


def test_a_file_that_is_a_link_is_replaced_and_what_it_points_to_stays(old: Path, tmp_path: Path):
    (tmp_path / "cached").write_text("cached")
    (old / "model.safetensors").symlink_to(tmp_path / "cached")
    write(old, NEW)
    assert not (old / "model.safetensors").is_symlink()
    assert (tmp_path / "cached").read_text() == "cached"


def test_the_working_folder_stays_the_same_folder(old: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(old)
    write(Path("."), NEW)
    assert Path.cwd() == old
    assert Path("recipe.yaml").read_text() == "new"


def test_a_folder_in_the_way_of_a_file(old: Path):
    (old / "README.md").mkdir()
    with pytest.raises(StorageError, match=r"README.md is a folder; a file of that name has to be written"):
        write(old, NEW)
    assert {name: (old / name).read_text() for name in OLD} == OLD


@pytest.mark.parametrize(
    "listing",
    [
        "nothing",
        "[]",
        '{"written": ["../../outside"], "deleted": []}',
        '{"written": [], "deleted": ["../outside"]}',
        '{"written": [], "deleted": [5]}',
    ],
)
def test_a_committed_folder_that_no_save_wrote_is_ignored(old: Path, listing: str):
    outside = old.parent / "outside"
    outside.write_text("mine")
    (old / COMMITTED).mkdir()
    (old / COMMITTED / ".files.json").write_text(listing)
    assert read(old) == OLD
    write(old, NEW)
    assert read(old) == NEW
    assert outside.read_text() == "mine"


def test_a_new_folder_appears_complete(tmp_path: Path):
    target = tmp_path / "deep" / "m1"
    with replacing(target, stale=is_old_weights, last="recipe.yaml") as folder:
        (folder / "recipe.yaml").write_text("x")
        assert not target.exists()
    assert contents(target) == {"recipe.yaml": b"x"}
    assert [path.name for path in target.parent.iterdir()] == ["m1"]


def test_an_error_in_the_middle_leaves_the_old_folder(tmp_path: Path):
    target = tmp_path / "m1"
    target.mkdir()
    (target / "recipe.yaml").write_text("old")

    def fail() -> None:
        with replacing(target, stale=is_old_weights, last="recipe.yaml") as folder:
            (folder / "recipe.yaml").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(target) == {"recipe.yaml": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["m1"]


def test_replacing_removes_the_old_set_and_nothing_else(tmp_path: Path):
    target = tmp_path / "m1"
    target.mkdir()
    for name in ("recipe.yaml", "model-00001-of-00002.safetensors", "events.log"):
        (target / name).write_text("old")
    (target / "logs").mkdir()
    with replacing(target, stale=is_old_weights, last="recipe.yaml") as folder:
        (folder / "recipe.yaml").write_text("new")
        (folder / "model.safetensors").write_text("new")
    assert sorted(path.name for path in target.iterdir()) == ["events.log", "logs", "model.safetensors", "recipe.yaml"]
    assert (target / "recipe.yaml").read_text() == "new"
    assert (target / "events.log").read_text() == "old"


def test_the_file_named_last_is_moved_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "m1"
    target.mkdir()
    moved = []
    replace = Path.replace

    def note(self: Path, other: Path) -> Path:
        moved.append(self.name)
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", note)
    with replacing(target, stale=is_old_weights, last="a.yaml") as folder:
        for name in ("a.yaml", "b.txt", "c.txt"):
            (folder / name).write_text("new")
    assert moved == ["b.txt", "c.txt", "a.yaml"]


def test_a_file_in_the_way(tmp_path: Path):
    (tmp_path / "m1").write_text("x")

    def save() -> None:
        with replacing(tmp_path / "m1", stale=is_old_weights, last=""):
            pass

    with pytest.raises(StorageError, match="is a file; a folder to save to is expected"):
        save()


def test_a_full_disk_raises_storage_error(tmp_path: Path):
    def save() -> None:
        with replacing(tmp_path / "m1", stale=is_old_weights, last=""):
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="could not be written: No space left on device"):
        save()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("x")

    def save() -> None:
        with replacing(tmp_path / "file" / "m1", stale=is_old_weights, last=""):
            pass

    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        save()


def test_a_block_inside_another_is_published_with_it(old: Path):
    with replacing(old, stale=is_old_weights, last="recipe.yaml") as new:
        write(new, NEW)
        assert {path.name for path in new.iterdir()} == set(NEW)
        assert read(old) == OLD
    assert read(old) == NEW
    assert_nothing_is_left_over(old)
