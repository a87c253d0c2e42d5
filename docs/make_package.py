"""Builds and checks what is published: `python docs/make_package.py OUTPUT` writes the sdist and the wheel.

They are built from a copy, since building leaves folders behind, and since links of the README that lead into the
repository have to be whole addresses on a package index.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from backbonekit.version import VERSION

ROOT = Path(__file__).parent.parent
REPOSITORY = "https://github.com/backbonekit/backbonekit"
FOLDERS = ("backbonekit", "configs", "examples/experiment_repo")
FILES = ("pyproject.toml", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md")


def copy_source(target: Path) -> None:
    """The files that a package is built from."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in [*paths, *(ROOT / name for name in FILES)]:
        if "__pycache__" not in path.parts:
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (target / "README.md").write_text(with_whole_links((ROOT / "README.md").read_text(encoding="utf-8")))
    (target / "MANIFEST.in").write_text("include CHANGELOG.md CITATION.cff SECURITY.md\n")


def with_whole_links(readme: str) -> str:
    """The README with links to files of the repository as addresses, images as the files themselves."""
    version = "main" if "dev" in VERSION else f"v{VERSION}"
    readme = re.sub(r"(!\[[^\]]*\])\((?!https?:|#)([^)]+)\)", rf"\1({REPOSITORY}/raw/{version}/\2)", readme)
    return re.sub(r"(\[[^\]]*\])\((?!https?:|#)([^)]+)\)", rf"\1({REPOSITORY}/blob/{version}/\2)", readme)


def make_package(output: Path) -> None:
    """Builds both without isolation, with the setuptools of this environment. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        copy_source(Path(folder))
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output.resolve()), folder]
        subprocess.run(build, check=True, capture_output=True, text=True)


def check_package(output: Path) -> str:
    """What `twine check` says of what lies in a folder: the README as a package index shows it. Raises
    CalledProcessError."""
    files = sorted(map(str, output.glob("backbonekit-*")))
    check = [sys.executable, "-m", "twine", "check", "--strict", *files]
    return subprocess.run(check, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        make_package(folder)
        sys.stdout.write(check_package(folder))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stdout or ''}\n{error.stderr or ''}")
