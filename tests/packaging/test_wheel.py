"""What a wheel holds, and that it works where nothing but the wheel is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: building in the checkout would leave folders behind.
    source = folder / "source"
    for name in ("backbonekit", "configs", "examples/experiment_repo"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                target = source / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", f"{folder}/dist", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next((folder / "dist").glob("*.whl"))


def test_every_recipe_and_the_option_table_are_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = [path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")]
    assert len(recipes) > 15
    assert {f"backbonekit/{name}" for name in recipes} <= names
    assert "backbonekit/registry/table.json" in names
    assert "backbonekit/py.typed" in names
    assert {f"backbonekit/configs/schema/{kind}.json" for kind in ("recipe", "experiment", "head")} <= names
    assert {f"backbonekit/experiment_repo/{name}" for name in (".gitignore", "my_project/head.py", "app.py")} <= names
    assert not [name for name in names if name.startswith(("tests", "examples", "benchmarks"))]


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
