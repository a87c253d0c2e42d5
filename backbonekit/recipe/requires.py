"""`requires` of a recipe: the installed packages whose parts it has, with their versions. Nothing is installed."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.recipe.forbidden import shown_path
from backbonekit.recipe.recipe import BackboneRecipe, PartRecipe, TaskRecipe
from backbonekit.registry.lookup import offer_of

KEY = "requires"  # written where there is any; composing finds it, nobody sets it
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,49}")
_MAX_PACKAGES = 64


def check_requires(data: Any, faults: list[str], notes: list[str]) -> None:
    """Appends a fault for each package that is missing, and a note for each of another version."""
    if data is None:
        return
    if not isinstance(data, dict) or len(data) > _MAX_PACKAGES:
        faults.append(f"{KEY}: given {shown(data)}, must be a mapping such as {{my_package: 1.0}}.")
        return
    for package, needed in data.items():
        path = shown_path(f"{KEY}.{package}")
        if not _PACKAGE.fullmatch(package) or not isinstance(needed, str) or not _VERSION.fullmatch(needed):
            faults.append(f"{path}: given {shown(needed)}, must be the name of a package and its version, as text.")
            continue
        try:
            installed = version(package)
        except PackageNotFoundError:
            faults.append(
                f"{path}: the recipe has parts of the package {package} {needed}, which is not installed. The fix, if "
                f"you trust it: pip install '{package}=={needed}'."
            )
            continue
        if installed != needed:
            notes.append(f"{path}: the recipe was made with {needed}, and {installed} is installed.")


def required_packages(
    backbone: BackboneRecipe, neck: Iterable[PartRecipe], head: PartRecipe | None, tasks: Iterable[TaskRecipe]
) -> dict[str, str]:
    """Package -> version, of every part that an installed package offers."""
    used = [("backbone", backbone.source), *(("neck", part.name) for part in neck)]
    for task in (TaskRecipe(head), *tasks):
        used += [("neck", part.name) for part in task.neck]
        if task.head is not None:
            used.append(("head", task.head.name))
            used += [] if task.head.criterion is None else [("criterion", task.head.criterion.name)]
    offers = [offer for kind, name in used if (offer := offer_of(kind, name)) is not None]
    return {offer.package: offer.version for offer in sorted(offers, key=lambda offer: offer.package) if offer.version}
