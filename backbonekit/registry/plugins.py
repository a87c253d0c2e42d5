"""What installed packages offer, by entry points in their pyproject.toml: parts, named `kind.name`, and recipes.

    [project.entry-points."backbonekit.parts"]
    "neck.my_neck" = "my_package.necks:MyNeck"

    [project.entry-points."backbonekit.configs"]
    my_package = "my_package.configs"

Only metadata is read here; a plugin is imported when a recipe uses its part. A folder of recipes is data in Hydra's
layout (`model/NAME.yaml`, `experiment/NAME.yaml`). What is wrong with one offer leaves the others as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from backbonekit.registry.builtin import BUILTIN, KINDS

GROUP = "backbonekit.parts"
CONFIGS = "backbonekit.configs"


@dataclass(frozen=True, slots=True)
class Offer:
    """A part of an installed package: "module:attribute", and the package with its version."""

    target: str
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Offers:
    """`parts` by kind and name. `clashes`: names that cannot be used, and why. `faults`: all that is wrong."""

    parts: Mapping[tuple[str, str], Offer]
    clashes: Mapping[tuple[str, str], str]
    faults: tuple[str, ...]


@lru_cache(maxsize=1)
def plugin_offers() -> Offers:
    """Over all installed packages. An entry that is not `kind.name`, or that takes a shipped name, is left out; a name
    that two packages offer is left out of both."""
    parts: dict[tuple[str, str], Offer] = {}
    clashes: dict[tuple[str, str], str] = {}
    faults = []
    for entry in sorted(entry_points(group=GROUP), key=lambda item: (item.name, item.value)):
        kind, dot, name = entry.name.partition(".")
        offer = Offer(entry.value, *_package(entry))
        where = f"the entry point {entry.name!r} of {offer.package}"
        before = parts.get((kind, name))
        if not dot or kind not in KINDS:
            faults.append(
                f"{where} is not of the form kind.name with a kind of {', '.join(KINDS)}; uninstall or fix it."
            )
        elif name in BUILTIN[kind]:
            faults.append(f"{where} takes the name of a shipped {kind}; only register(..., override=True) may do that.")
        elif before is not None and before.target != offer.target:
            clashes[kind, name] = (
                f"{where} offers a {kind} that another package offers too ({before.package}); uninstall one of them."
            )
        else:
            parts[kind, name] = offer
    usable = {key: offer for key, offer in parts.items() if key not in clashes}
    return Offers(usable, clashes, (*faults, *clashes.values()))


@lru_cache(maxsize=1)
def plugin_folders() -> tuple[tuple[tuple[str, Path], ...], tuple[str, ...]]:
    """(package, its folder of recipes) over all installed packages, and what is wrong with the others."""
    folders, faults = [], []
    for entry in sorted(entry_points(group=CONFIGS), key=lambda item: (item.name, item.value)):
        package, _ = _package(entry)
        folder = _folder(entry.value)
        if folder is None:
            faults.append(
                f"the entry point {entry.name!r} of {package} names the recipes {entry.value!r}, and there is no such "
                "folder in it; uninstall or fix it."
            )
        else:
            folders.append((package, folder))
    return tuple(folders), tuple(faults)


def forget_plugins() -> None:
    """Reads the metadata again when it is needed; for packages that were installed since."""
    plugin_offers.cache_clear()
    plugin_folders.cache_clear()


def _package(entry: EntryPoint) -> tuple[str, str]:
    return ("an installed package", "") if entry.dist is None else (entry.dist.name, entry.dist.version)


def _folder(module: str) -> Path | None:
    """The folder of `package.inner`, without importing the package."""
    package, *inner = module.split(".")
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        folder = Path(location, *inner)
        if folder.is_dir():
            return folder
    return None
