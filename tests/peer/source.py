"""transformers' published tests as an importable package: from a folder, or from the source archive of the release in
use. Nothing of them is copied into the repository."""

import importlib
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "transformers_tests"  # `tests` is the name of our own
CACHE = Path("build/peer_tests")  # git ignores build/
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def published_tests() -> Path:
    """The `tests` folder of the source archive, downloaded once: the mixins, not the files of single models."""
    release = f"transformers-{version('transformers')}"
    folder = CACHE / release / "tests"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        where = ("--no-binary", "transformers", "--no-deps", "--dest", str(CACHE), release.replace("-", "=="))
        subprocess.run([*PIP, "download", *where], check=True)
        with tarfile.open(CACHE / f"{release}.tar.gz") as archive:
            members = [one for one in archive.getmembers() if one.name.startswith(f"{release}/tests/")]
            archive.extractall(CACHE, members, filter="data")
        (folder / "__init__.py").touch()  # one of the files loads it by path
    return folder


def install_requirements() -> None:
    """`parameterized`, which the files import; nothing else here does."""
    packages = CACHE / "packages"
    if not packages.exists():
        subprocess.run([*PIP, "install", "--no-deps", "--target", str(packages), "parameterized"], check=True)
    sys.path.append(str(packages.resolve()))


def mount(folder: Path) -> None:
    """Makes `folder` importable as a package of its own name."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package
    sys.meta_path.append(_Absent())


def module(name: str) -> ModuleType:
    """`test_backbone_common`, `models.resnet.test_modeling_resnet`."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def module_again(name: str) -> ModuleType:
    """The same file, imported a second time: its names are now what stands in transformers."""
    first = sys.modules.pop(f"{PACKAGE}.{name}")
    try:
        return module(name)
    finally:
        sys.modules[first.__name__] = first


@contextmanager
def imported_again(name: str) -> Iterator[None]:
    """Inside, whoever imports the file gets it imported a second time, and that one remains its second import."""
    again = module_again(name)
    first = sys.modules[again.__name__]
    sys.modules[again.__name__] = again
    try:
        yield
    finally:
        sys.modules[first.__name__] = first


class _Absent(MetaPathFinder, Loader):
    """Stands in for files that the archive leaves out: every name in them is an empty class."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.startswith(f"{PACKAGE}.") else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _empty_class  # type: ignore[method-assign]


def _empty_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
