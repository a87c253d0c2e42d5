"""Builds the site: `python docs/make_site.py OUTPUT [tags]`.

OUTPUT gets a folder for this version, the list of versions beside it, and an index that leads to the newest release or,
without one, to this version. `tags` builds every release (git's tags `v1.2.3`) as well, each from its own files.
Warnings are errors.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from backbonekit.version import VERSION

ROOT = Path(__file__).parent.parent
_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def make_site(output: Path, *, tags: bool = False) -> None:
    build_version(ROOT, output / VERSION)
    for tag in released() if tags else ():
        if (output / tag[1:]).exists():  # a release never changes
            continue
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(["git", "archive", tag], cwd=ROOT, check=True, capture_output=True).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(folder, filter="data")
            build_version(Path(folder), output / tag[1:])
    write_list(output)


def build_version(source: Path, target: Path) -> None:
    """One version's pages, with the code of its own folder."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    trees = target.parent / ".doctrees" / target.name
    done = subprocess.run([*command, "-d", trees, source / "docs", target], cwd=source, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def released() -> list[str]:
    """The tags of releases, oldest first."""
    tags = subprocess.run(["git", "tag"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return sorted((tag for tag in tags if _RELEASE.fullmatch(tag)), key=_numbers)


def write_list(output: Path) -> list[str]:
    """The versions that are there, newest release first and those under development last; each page lists them."""
    found = [path.name for path in output.iterdir() if (path / "index.html").is_file()]
    releases = sorted((name for name in found if _RELEASE.fullmatch(f"v{name}")), key=_numbers, reverse=True)
    versions = releases + sorted(set(found) - set(releases), reverse=True)
    (output / "versions-list.js").write_text(f"window.BACKBONEKIT_VERSIONS = {json.dumps(versions)};\n")
    (output / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>backbonekit</title>'
        f'<meta http-equiv="refresh" content="0; url={versions[0]}/index.html">'
        f'<a href="{versions[0]}/index.html">backbonekit {versions[0]}</a></html>\n'
    )
    return versions


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.removeprefix("v").split(".")))


if __name__ == "__main__":
    make_site(Path(sys.argv[1]), tags="tags" in sys.argv[2:])
