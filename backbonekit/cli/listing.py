"""What `list` knows of each name: what it is, parameters, strides, published weights, and where it comes from."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path
from typing import Any

from backbonekit.backbones.hf.class_names import backbone_name, config_name
from backbonekit.cli.list_numbers import Numbers, known_numbers, numbers_of
from backbonekit.cli.published_weights import PUBLISHED
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.config_roots import EXPERIMENT, GROUP, ConfigRoot, config_names, find, roots_for, shipped_root
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import names, offer_of, resolve, target_of
from backbonekit.registry.plugins import plugin_folders
from backbonekit.registry.table import config_families, summary
from backbonekit.version import VERSION

PART_KIND = {
    "necks": "neck",
    "heads": "head",
    "criteria": "criterion",
    "data": "data",
    "augmentations": "augmentation",
}
_FOLDERS = {"models": GROUP, "backbones": f"{GROUP}/backbone", "experiments": EXPERIMENT}
_SHIPPED = f"backbonekit {VERSION}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. `parameters`: of a backbone without the classifier that it was trained with; None where a name alone
    does not decide them. `strides`: of the maps. `weights`: Hub ids, the first by default. `origin`: the package that
    has it and its version, or a folder."""

    name: str
    about: str
    origin: str
    parameters: int | None = None
    strides: Sequence[float] = ()
    weights: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "name"}


def entries(kind: str, wanted: Callable[[str], bool], config_dir: str | None = None) -> list[Entry]:
    """Everything of a kind whose name is wanted, by name. `config_dir`: a folder of the user's own."""
    if kind in PART_KIND:
        return [_part(PART_KIND[kind], name) for name in names(PART_KIND[kind]) if wanted(name)]
    if kind in _FOLDERS:
        roots = roots_for(config_dir)
        found = [name for name in config_names(roots, _FOLDERS[kind]) if wanted(name)]
        files = [_file(kind, name, roots, config_dir) for name in found]
        return [*files, *(_sources(wanted) if kind == "backbones" else ())]
    if kind == "families":
        classes = {name: f"{config_name(name)}, {backbone_name(name)}" for name in config_families()}
        return [Entry(name, classes[name], _SHIPPED) for name in sorted(classes) if wanted(name)]
    return [_architecture(name) for name in architectures() if wanted(name)]


def architectures() -> list[str]:
    """Every architecture of the installed timm, read from the file where that was made with the same version."""
    if known_numbers()["versions"]["timm"] == version("timm"):
        return sorted(known_numbers()["timm"])
    import timm

    return sorted(timm.list_models())


def _part(kind: str, name: str) -> Entry:
    target = target_of(kind, name)
    if target == BUILTIN[kind].get(name):
        return Entry(name, summary(kind, name), _SHIPPED)
    try:
        about = " ".join((inspect.getdoc(resolve(kind, name)) or "").split("\n\n")[0].split())
    except RecipeError as error:
        about = str(error)
    except Exception as error:  # whatever a plugin does when it is imported: the others are listed all the same
        about = f"could not be imported: {error!r}"
    return Entry(name, about, _package(kind, name, target))


def _package(kind: str, name: str, target: Any) -> str:
    """Who offers a part that does not ship: an installed package, or the module that registered it."""
    offer = offer_of(kind, name)
    if offer is not None and offer.version:
        return f"{offer.package} {offer.version}"
    module = target.partition(":")[0] if isinstance(target, str) else str(target.__module__)
    package = module.partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return module


def _sources(wanted: Callable[[str], bool]) -> list[Entry]:
    """Sources of backbones that do not ship, which have their own names behind a slash."""
    added = [name for name in names("backbone") if name not in BUILTIN["backbone"] and wanted(name)]
    return [
        Entry(f"{name}/...", "a source of backbones", _package("backbone", name, target_of("backbone", name)))
        for name in added
    ]


def _file(kind: str, name: str, roots: Sequence[ConfigRoot], config_dir: str | None) -> Entry:
    file = find(roots, f"{_FOLDERS[kind]}/{name}")
    assert file is not None
    is_shipped = file.is_relative_to(shipped_root().folder)
    package = next((package for package, folder in plugin_folders()[0] if file.is_relative_to(folder)), None)
    origin = _SHIPPED if is_shipped else str(file.parent) if package is None else f"{package} {version(package)}"
    if kind == "experiments":
        return Entry(name, header(file), origin)
    numbers: Mapping[str, Any] | None = (
        known_numbers()[kind].get(name) if is_shipped else _measured(kind, name, config_dir)
    )
    numbers = numbers or {"parameters": None, "strides": ()}
    weights = _weights(kind, name, config_dir, is_shipped=is_shipped)
    return Entry(name, header(file), origin, numbers["parameters"], numbers["strides"], weights)


def _measured(kind: str, name: str, config_dir: str | None) -> Numbers | None:
    """Of a file of the user's own; None where it cannot be built, which `build` explains."""
    try:
        return numbers_of(kind, name, config_dir=config_dir)
    except (ContractError, RecipeError, StorageError, WeightsError):
        return None


def _weights(kind: str, name: str, config_dir: str | None, *, is_shipped: bool) -> list[str]:
    """Hub ids: of the whole model where there is one, else of its backbone."""
    if kind == "models" and is_shipped and name in PUBLISHED:
        return [PUBLISHED[name]]
    try:
        start, overrides = (name, []) if kind == "models" else ({}, [f"backbone={name}"])
        backbone = compose_recipe(start, overrides, config_dir=config_dir).backbone
    except RecipeError:
        return []
    if backbone.name is None or (backbone.source == "hf" and "/" not in backbone.name):
        return []
    identifier = backbone.name if backbone.source == "hf" else f"{backbone.source}/{backbone.name}"
    if backbone.source == "timm" and "." not in backbone.name:  # the architecture's first weights
        identifier = next(iter(known_numbers()["timm"].get(backbone.name, {}).get("weights", ())), None)
        if identifier is None:
            return []
    return [f"backbone: {identifier}" if kind == "models" else identifier]


def _architecture(name: str) -> Entry:
    found = known_numbers()["timm"].get(name, {"about": "", "parameters": None, "strides": (), "weights": ()})
    about, numbers = found["about"], {key: found[key] for key in ("parameters", "strides", "weights")}
    return Entry(name, about, f"timm {version('timm')}", **numbers)


def header(file: Path) -> str:
    """The comment at the top of a recipe, up to its command to try."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    return " ".join(takewhile(lambda line: not line.startswith(("try:", "yaml-language-server:")), comment))
