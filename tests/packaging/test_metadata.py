"""What is written beside the code for those who install, cite or release it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from backbonekit.version import VERSION

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors", "type"} <= set(citation)


def test_every_dependency_has_a_lowest_version():
    """Extras of a user; the tools of `dev` are there for the tests alone."""
    extras = PROJECT["optional-dependencies"]
    required = PROJECT["dependencies"] + [each for name, listed in extras.items() if name != "dev" for each in listed]
    foreign = [each for each in required if not each.startswith("backbonekit[")]
    assert len(foreign) > 20
    assert [each for each in foreign if not re.match(r"[\w\-]+(\[\w+\])?>=\d", each)] == []


def test_all_is_every_extra_of_a_user():
    extras = set(PROJECT["optional-dependencies"]) - {"all", "dev", "docs"}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(everything.removeprefix("backbonekit[").removesuffix("]").split(",")) == extras


def test_the_matrix_has_every_python_and_the_lowest_versions():
    matrix = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]
    assert tuple(matrix["python"]) == tuple(WORKFLOW["jobs"]["install"]["strategy"]["matrix"]["python"]) == PYTHONS
    assert {"python": PYTHONS[0], "versions": "lowest", "system": "ubuntu-latest"} in matrix["include"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    listed = {each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")}
    assert set(PYTHONS) <= listed


def test_issue_templates_are_forms():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "config", "feature", "question"]
    for form in forms:
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        if form.stem != "config":
            assert {"name", "description", "body"} <= set(content)
            assert any(field["type"] == "textarea" for field in content["body"])


@pytest.mark.slow
@pytest.mark.skipif("RESOLVE" not in os.environ, reason="asks a package index; `make test-versions` does")
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_the_extras_can_be_installed_together(python: str, resolution: str, tmp_path: Path) -> None:
    """There are wheels of every dependency, in the newest and in the lowest allowed versions that go together."""
    uv = shutil.which("uv")
    assert uv is not None, "pip install uv"
    command = [uv, "pip", "compile", str(ROOT / "pyproject.toml"), "--extra", "all", "--python-version", python]
    command += ["--resolution", resolution, "--no-header", "--quiet", "--only-binary", ":all:"]
    command += ["--no-binary", "antlr4-python3-runtime"]  # hydra-core's parser, pure Python, has no wheel
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pins = dict(re.findall(r"^([\w\-]+)==(\S+)", done.stdout, flags=re.MULTILINE))
    assert {"torch", "timm", "transformers", "lightning", "onnxruntime"} <= set(pins)
    if (resolution, python) == ("lowest-direct", PYTHONS[0]):
        assert pins["torch"].startswith("2.6.")
        assert pins["hydra-core"] == "1.3.8"
