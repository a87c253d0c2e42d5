"""`backbonekit new FOLDER`: a small repository for models and experiments of one's own."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

import backbonekit
from backbonekit.cli.messages import note
from backbonekit.cli.text import printable
from backbonekit.cli.values import without_format
from backbonekit.errors import RecipeError, StorageError
from backbonekit.weights.untrusted_files import user_path

USAGE = """usage: backbonekit new FOLDER [name=NAME] [format=json]

examples:
  backbonekit new birds
  backbonekit new work/bird-counts name=birds

Writes a repository with a recipe that inherits one that ships, a backbone by name, a head in Python, an experiment, a
Hydra application, a test and a README that says how each is used. The same files are examples/experiment_repo.
FOLDER must not exist, or be empty.

  name=NAME   of its Python package (default: the folder's name)
"""
_NAME_IN_TEMPLATE = "my_project"
_SUFFIXES = (".py", ".yaml", ".toml", ".md")
_WRITTEN = ("schema", "runs", "outputs", "multirun")  # by using the repository in a checkout
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE, end="")
        return 0
    words, is_json = without_format(words)
    name_given = [word.removeprefix("name=") for word in words if word.startswith("name=")]
    plain = [word for word in words if not word.startswith("name=")]
    if len(plain) != 1 or "=" in plain[0] or plain[0].startswith("-") or len(name_given) > 1:
        raise RecipeError("new takes one folder, and name=NAME where its package is to be named otherwise.")
    folder = user_path(plain[0])
    name = name_given[0] if name_given else folder.resolve().name.replace("-", "_")
    _check(folder, name)
    _write(folder, name)
    _write_schemas(folder, name)
    build = f"backbonekit build model=mine --config-dir configs --import {name}"
    if is_json:
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        print(json.dumps({"folder": str(folder), "package": name, "files": files, "build": build}))
        return 0
    print(printable(f"written to {folder}; README.md says how it is used:\n\n  cd {folder}\n  {build}"))
    return 0


def template() -> Path:
    """The repository that is copied: inside the installed package, or in a checkout."""
    package = Path(backbonekit.__file__).parent
    for folder in (package / "experiment_repo", package.parent / "examples" / "experiment_repo"):
        if folder.is_dir():
            return folder
    raise StorageError("this installation of backbonekit lacks the files of `new`; install it again.")


def _check(folder: Path, name: str) -> None:
    faults = []
    if not _NAME.fullmatch(name) or iskeyword(name):
        faults.append(f"{name!r} is no name of a Python package. The fix: name=NAME of small letters, digits and _.")
    else:
        found = find_spec(name)
        if found is not None and found.origin is not None:
            faults.append(f"there is a Python package named {name!r} already. The fix: another name=NAME.")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            faults.append(f"{str(folder)!r} exists and is not empty. The fix: another folder.")
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}.") from error
    if faults:
        raise RecipeError(faults)


def _write(folder: Path, name: str) -> None:
    """The whole folder or nothing."""
    source, temporary = template(), None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for file in sorted(source.rglob("*")):
            inside = file.relative_to(source)
            if inside.parts[0] not in _WRITTEN and (file.suffix in _SUFFIXES or file.name == ".gitignore"):
                path = temporary / str(inside).replace(_NAME_IN_TEMPLATE, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.read_text(encoding="utf-8").replace(_NAME_IN_TEMPLATE, name), encoding="utf-8")
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _write_schemas(folder: Path, name: str) -> None:
    """Those for the editor, in a process of its own, since the head is imported for them."""
    words = ["schema", "all", "output=schema", "--config-dir", "configs", "--import", name]
    command = [sys.executable, "-m", "backbonekit", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  our own
    if done.returncode:
        note(f"the schemas for the editor could not be written: {done.stderr}")
