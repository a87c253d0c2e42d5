"""What the wheel and the sdist hold, and that the wheel works where nothing else is."""

import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from backbonekit.version import VERSION

ROOT = Path(__file__).parent.parent.parent
MAKER = runpy.run_path(str(ROOT / "docs" / "make_package.py"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    MAKER["make_package"](folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    return next(dist.glob("*.whl"))


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    folders = {"backbonekit": "backbonekit", "configs": "backbonekit/configs"}
    folders["examples/experiment_repo"] = "backbonekit/experiment_repo"
    files = [(path, folder) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = [(path, folder) for path, folder in files if "__pycache__" not in path.parts]
    kept = [(path, folder) for path, folder in kept if path.suffix != ".md" or folder == "examples/experiment_repo"]
    assert names == {f"{folders[folder]}/{path.relative_to(ROOT / folder).as_posix()}" for path, folder in kept}
    assert "backbonekit/py.typed" in names
    assert len([name for name in names if name.endswith(".yaml")]) > 15


def test_the_wheel_says_what_it_is(wheel):
    files = zipfile.ZipFile(wheel)
    about = next(name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_string(files.read(about).decode())
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert [name for name in files.namelist() if name.endswith("licenses/LICENSE")]
    assert {"train", "export", "features", "ray", "geo", "datasets", "examples", "all"} <= set(
        metadata.get_all("Provides-Extra", [])
    )
    readme = metadata.get_payload()
    links = re.findall(r"\]\(([^)]+)\)", str(readme))
    assert len(links) > 25
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_sdist_has_the_source_and_the_papers(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "pyproject.toml"} <= names
    assert {"backbonekit/registry/table.json", "configs/model/maskformer_resnet50.yaml"} <= names


def test_a_package_index_accepts_both(dist):
    pytest.importorskip("twine")
    assert MAKER["check_package"](dist).count("PASSED") == 2


def test_it_composes_from_the_wheel_alone(wheel, tmp_path):
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    command = [sys.executable, "-m", "backbonekit.build", "model=maskformer_swin_tiny", "--cfg", "job"]
    environment = {"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "model_type: swin" in done.stdout


def test_it_writes_a_repository_from_the_wheel_alone(wheel, tmp_path):
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    environment = {"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "backbonekit", "new", "birds"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    source = ROOT / "examples" / "experiment_repo"
    expected = {path.name for path in source.iterdir()} - {"my_project", "schema", "runs", "outputs", "multirun"}
    assert expected <= {path.name for path in (tmp_path / "birds").iterdir()}
    assert (tmp_path / "birds" / "birds" / "head.py").is_file()
    assert (tmp_path / "birds" / "schema" / "recipe.json").is_file()
