"""The folders that recipes are composed from: the user's before the shipped one. Nothing outside them is ever read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import backbonekit
from backbonekit.errors import RecipeError, StorageError
from backbonekit.registry.plugins import plugin_folders
from backbonekit.weights.untrusted_files import names_in

GROUP = "model"  # the group that recipes are in; parts are in its groups backbone, neck and head
EXPERIMENT = "experiment"  # the group of experiments
SECTIONS = ("data", "augmentation", "optimisation", "trainer")  # the groups of what an experiment has beside a recipe
_GROUPS = (GROUP, *(f"{GROUP}/{part}" for part in ("backbone", "neck", "head")), EXPERIMENT, *SECTIONS)
_SUFFIXES = (".yaml", ".yml")
_MAX_SEGMENTS = 6  # model/a/b/neck/NAME
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,199}")


@dataclass(frozen=True, slots=True)
class ConfigRoot:
    """A folder in Hydra's layout: `model/NAME.yaml`, `model/backbone/NAME.yaml`, ...

    `group`: the folder is itself this group (a YAML file that somebody named by its path lies in it). `hidden`: paths
    that cannot be used, since they clash with those of another folder.
    """

    folder: Path
    group: str | None = None
    hidden: frozenset[str] = frozenset()

    def find(self, config_path: str) -> Path | None:
        """The file of `model/backbone/NAME`, or None. Raises RecipeError for a path that would leave the folder."""
        segments = segments_of(config_path)
        if config_path in self.hidden:
            return None
        if self.group is not None:
            if segments[0] != self.group:
                return None
            segments = segments[1:]
        for suffix in _SUFFIXES if segments else ():
            file = self.folder.joinpath(*segments[:-1], segments[-1] + suffix)
            if is_file(file):
                self._check_inside(file)
                return file
        return None

    def names(self, group: str) -> list[str]:
        """The names of the files in a group, without those in groups below it."""
        segments = segments_of(group)
        if self.group is not None:
            if segments[0] != self.group:
                return []
            segments = segments[1:]
        folder = self.folder.joinpath(*segments)
        try:
            files = [Path(name) for name in names_in(folder)] if is_folder(folder) else []
        except StorageError as error:
            raise RecipeError(str(error)) from error
        found = {file.stem for file in files if file.suffix in _SUFFIXES and _SEGMENT.fullmatch(file.stem)}
        return sorted(name for name in found if f"{group}/{name}" not in self.hidden)

    def has_group(self, group: str) -> bool:
        segments = segments_of(group)
        if self.group is not None and segments[0] == self.group:
            segments = segments[1:]
        return is_folder(self.folder.joinpath(*segments))

    def _check_inside(self, file: Path) -> None:
        # A link may lead anywhere; the folder itself may be reached through one.
        if not file.resolve().is_relative_to(self.folder.resolve()):
            raise RecipeError(f"{str(file)!r} is a link that leaves {str(self.folder)!r}; put the file itself there.")


def segments_of(config_path: str) -> list[str]:
    """The parts of `model/backbone/NAME`. Raises RecipeError for what is no path inside a folder of recipes."""
    segments = config_path.split("/")
    if len(segments) > _MAX_SEGMENTS or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise RecipeError(
            f"{config_path[:200]!r} is no name of a recipe or part: names of files inside the folder of recipes, "
            f"without `..`, a leading slash or special characters."
        )
    return segments


def find(roots: Iterable[ConfigRoot], config_path: str) -> Path | None:
    """The first root's file of that path."""
    return next((file for root in roots if (file := root.find(config_path)) is not None), None)


def config_names(roots: Iterable[ConfigRoot], group: str) -> list[str]:
    """All roots' names in a group, sorted."""
    return sorted({name for root in roots for name in root.names(group)})


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; False for what no file system can have (a NUL, thousands of characters)."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: str | Path) -> bool:
    """Whether a file is there, in the same way."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1)
def shipped_root() -> ConfigRoot:
    """The recipes that ship: inside the installed package, or beside it in a checkout."""
    package = Path(backbonekit.__file__).parent
    candidates = (package / "configs", package.parent / "configs")
    found = next((folder for folder in candidates if (folder / GROUP).is_dir()), None)
    if found is None:
        raise RecipeError("this installation of backbonekit lacks the recipes that ship with it; install it again.")
    return ConfigRoot(found)


@lru_cache(maxsize=1)
def plugin_roots() -> tuple[tuple[ConfigRoot, ...], tuple[str, ...]]:
    """The recipes of installed packages, and what is wrong with them. A path that another package or backbonekit itself
    has too is hidden."""
    folders, faults = plugin_folders()
    owners: dict[str, list[str]] = {}
    paths = {package: _paths(ConfigRoot(folder)) for package, folder in folders}
    for package, found in [("backbonekit", _paths(shipped_root())), *paths.items()]:
        for path in found:
            owners.setdefault(path, []).append(package)
    clashes = {path: packages for path, packages in owners.items() if len(packages) > 1}
    roots = tuple(ConfigRoot(folder, hidden=frozenset(clashes)) for _, folder in folders)
    told = [
        f"the recipe {path!r} is in {' and in '.join(packages)}; uninstall one." for path, packages in clashes.items()
    ]
    return roots, (*faults, *told)


def _paths(root: ConfigRoot) -> list[str]:
    return [f"{group}/{name}" for group in _GROUPS for name in root.names(group)]


def roots_for(config_dir: str | Path | None) -> tuple[ConfigRoot, ...]:
    """The user's folder, if any, before the shipped one and those of installed packages. Raises RecipeError for a
    folder that is not there."""
    if config_dir is None:
        return (shipped_root(), *plugin_roots()[0])
    folder = Path(config_dir)
    if not is_folder(folder):
        raise RecipeError(f"--config-dir {str(config_dir)[:200]!r} is no folder.")
    # A folder of recipes alone, without the folder of any group in it, is the group `model` itself.
    has_groups = any(is_folder(folder / group) for group in (GROUP, EXPERIMENT, *SECTIONS))
    return ConfigRoot(folder, group=None if has_groups else GROUP), shipped_root(), *plugin_roots()[0]
