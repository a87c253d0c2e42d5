"""Hydra's defaults lists: from a recipe's name to the files that it is composed of, in the order in which they merge.

Hydra decides which files and in which order; it reads them from behind the guard, and their contents are merged by us
(`layering.py`), since merging as Hydra does would let the options of one part leak into the part that replaces it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.config_roots import (
    EXPERIMENT,
    GROUP,
    SECTIONS,
    ConfigRoot,
    config_names,
    find,
    is_file,
    is_folder,
)
from backbonekit.recipe.forbidden import without_forbidden
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.hydra_session import private_config_loader
from backbonekit.weights.untrusted_files import beginning

SCHEME = "backbonekit"
_PACKAGE_HEADER = re.compile(r"^\s*#\s*@package\s+(\S+)\s*$", re.MULTILINE)
_active_roots: list[ConfigRoot] = []  # of the one composition that holds Hydra's lock


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's content, without its defaults list.

    `package`: where in the recipe it belongs, "" for its root, "backbone" for a part; in an experiment "model",
    "model.backbone", "optimisation". `stale`: the parts that this file chose, or saw chosen, and that a later file
    overrode: what it says about them was meant for another part.
    """

    origin: str
    package: str
    content: dict[str, Any]
    stale: frozenset[str]


class RecipeSource(ConfigSource):
    """Serves the files of the active roots to Hydra. Its path is the number of the root."""

    def __init__(self, provider: str, path: str) -> None:
        self.provider = provider
        self.path = path.removeprefix(f"{SCHEME}://")

    @staticmethod
    def scheme() -> str:
        return SCHEME

    @property
    def _root(self) -> ConfigRoot:
        return _active_roots[int(self.path)]

    def load_config(self, config_path: str) -> ConfigResult:
        file = self._root.find(_without_suffix(config_path))
        assert file is not None
        content = _read(file)
        body = {"defaults": content["defaults"]} if "defaults" in content else {}
        return ConfigResult(
            provider=self.provider,
            path=f"{SCHEME}://{self.path}",
            config=OmegaConf.create(body | {"_has_content_": True}),
            header={"package": _package_header(file)},
        )

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return bool(config_path) and self._root.has_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return self._root.find(_without_suffix(config_path)) is not None

    def list(self, config_path: str, results_filter: Any = None) -> "list[str]":
        return self._root.names(config_path)


def compose_layers(name: str, roots: Sequence[ConfigRoot], *, group: str = GROUP) -> list[Layer]:
    """The layers of `model=NAME`, of a part (`group` is then `model/neck`) or of `experiment=NAME`, in merging order.
    Raises RecipeError."""
    if find(roots, f"{group}/{name}") is None:
        raise RecipeError(_unknown(name, roots, EXPERIMENT if group == EXPERIMENT else GROUP))
    files, choices = _defaults(group, name, roots)
    layer = _experiment_layer if group == EXPERIMENT else _layer
    return [layer(path, package, choices, roots) for path, package in files]


def _defaults(group: str, name: str, roots: Sequence[ConfigRoot]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(config path, package) of every file, by Hydra's rules; and group -> config path of what was chosen in the end,
    also of a recipe that lists parts itself."""
    with private_config_loader(RecipeSource) as loader:
        _active_roots[:] = roots
        numbers = ",".join(f"'{SCHEME}://{number}'" for number in range(len(roots)))
        try:
            found = loader.compute_defaults_list(
                config_name=None,
                overrides=[f"+{group}='{name}'", f"hydra.searchpath=[{numbers}]"],
                run_mode=RunMode.RUN,
            )
        except MissingConfigException as error:
            raise RecipeError(_missing(f"{group}={name}", str(error.missing_cfg_file), roots)) from error
        except (HydraException, OmegaConfBaseException, ValueError, AssertionError, RecursionError) as error:
            if isinstance(error, RecipeError):
                raise
            reason = _one_line(error)
            hint = ""
            if reason.startswith(f"In '{GROUP}/{name}': Could not override '{GROUP}/"):
                part = reason.split(f"override '{GROUP}/")[1].split("'")[0]
                hint = f" The fix: leave `override {part}` out and write `{part}: NAME` below the defaults."
            raise RecipeError(f"{group}={name} could not be composed: {reason}{hint}") from error
        finally:
            _active_roots.clear()
    files = [item for item in found.defaults if item.config_path.split("/")[0] != "hydra"]
    choices = {key.partition("@")[0]: choice for key, choice in found.overrides.known_choices.items()}
    return (
        [(item.config_path, item.package or "") for item in files],
        {key: f"{key}/{choice}" for key, choice in choices.items() if isinstance(choice, str)},
    )


def _layer(path: str, package: str, choices: Mapping[str, str], roots: Sequence[ConfigRoot]) -> Layer:
    file = find(roots, path)
    assert file is not None
    content = _read(file)
    content.pop("defaults", None)
    package = package.removeprefix("_global_").lstrip(".")
    if package == "" and set(content) <= {GROUP}:
        # `# @package _global_` with everything under `model`.
        content, package = content.get(GROUP) or {}, GROUP
    if package.split(".")[0] != GROUP:
        raise RecipeError(
            f"{str(file)!r}: its package is {shown(package)}; everything in a recipe belongs under {GROUP}."
        )
    stale = _stale(path, package.replace(".", "/"), choices, roots)
    return Layer(path, package.removeprefix(GROUP).lstrip("."), content, stale)


def _experiment_layer(path: str, package: str, choices: Mapping[str, str], roots: Sequence[ConfigRoot]) -> Layer:
    """One file of an experiment. In Hydra's packages, what an experiment lists is inside the package `experiment`."""
    file = find(roots, path)
    assert file is not None
    content = _read(file)
    content.pop("defaults", None)
    package = package.removeprefix("_global_").lstrip(".")
    package = package.removeprefix(EXPERIMENT).lstrip(".")
    group = path.rpartition("/")[0]
    if (package == "" and group not in (EXPERIMENT, GROUP)) or package.split(".")[0] not in ("", GROUP, *SECTIONS):
        raise RecipeError(
            f"{str(file)!r}: its package is {shown(package)}; the sections of an experiment are {GROUP}, "
            f"{', '.join(SECTIONS)}."
        )
    return Layer(path, package, content, _stale(path, group, choices, roots))


def _stale(path: str, base: str, choices: Mapping[str, str], roots: Sequence[ConfigRoot]) -> frozenset[str]:
    seen = _choices_seen_by(path, roots, base=base)
    overridden = {group for group, choice in seen.items() if choices.get(group) != choice}
    return frozenset(group.removeprefix(f"{GROUP}/").replace("/", ".") for group in overridden)


def _choices_seen_by(path: str, roots: Sequence[ConfigRoot], base: str) -> dict[str, str]:
    """Group -> config path of the choice that a file makes, or inherits from the files it lists (below `base`)."""
    file = find(roots, path)
    if file is None:
        return {}
    seen: dict[str, str] = {}
    for item in _read(file).get("defaults") or ():
        if isinstance(item, str) and item != "_self_":
            listed = _below(base, item.partition("@")[0])
            seen |= _choices_seen_by(listed, roots, listed.rpartition("/")[0])
        elif isinstance(item, dict) and len(item) == 1:
            (key, value), *_ = item.items()
            group = _below(base, key.split(" ")[-1].partition("@")[0])
            if isinstance(value, str):
                seen[group] = f"{group}/{value}"
    return seen


def _below(base: str, path: str) -> str:
    return path.lstrip("/") if path.startswith("/") else f"{base}/{path}"


def _read(file: Path) -> dict[str, Any]:
    content = read_yaml_file(file)
    _, refused = without_forbidden(content)
    if refused:
        raise RecipeError([f"{str(file)!r}: {fault}" for fault in refused])
    defaults = content.get("defaults")
    if defaults is not None:
        _check_defaults(file, defaults)
        # With or without `_self_`, a file's own values come after those of its defaults.
        if not any(item == "_self_" for item in defaults):
            overrides = [item for item in defaults if isinstance(item, dict) and "override " in next(iter(item), "")]
            others = [item for item in defaults if item not in overrides]
            content["defaults"] = [*others, "_self_", *overrides]
    return content


def _check_defaults(file: Path, defaults: Any) -> None:
    if not isinstance(defaults, list):
        raise RecipeError(f"{str(file)!r}: defaults must be a list, not {shown(defaults)}.")
    for item in defaults:
        value = next(iter(item.values()), None) if isinstance(item, dict) else item
        names = value if isinstance(value, list) else [value]
        keys = list(item) if isinstance(item, dict) else []
        for name in [*names, *keys]:
            if name is not None and (not isinstance(name, str) or ".." in name or "${" in name or "://" in name):
                raise RecipeError(
                    f"{str(file)!r}: {shown(name)} in defaults is refused; it names files in the folders of recipes."
                )


def _package_header(file: Path) -> str | None:
    found = _PACKAGE_HEADER.search(beginning(file, 2_000).decode("utf-8-sig", errors="replace"))
    return None if found is None else found.group(1)


def _without_suffix(config_path: str) -> str:
    return config_path.removesuffix(".yaml")


def _one_line(error: Exception) -> str:
    """Hydra's reason without the search path, on one line."""
    return " ".join(str(error).split("Config search path")[0].split())[:500]


def _missing(whose: str, config_path: str, roots: Sequence[ConfigRoot]) -> str:
    group, _, name = config_path.rpartition("/")
    _, foreign, architecture = config_path.partition(f"{GROUP}/backbone/")
    if foreign and "/" in architecture:
        return (
            f"{whose} lists {shown(architecture)} in its defaults, which name files. The fix: "
            f"`backbone: {shown(architecture, quotes=False)}` below the defaults."
        )
    known = config_names(roots, group) if group.startswith(GROUP) else []
    return f"{whose} lists {shown(config_path)}, which is not there; {nearest(name, known)}"


def _unknown(name: str, roots: Sequence[ConfigRoot], group: str) -> str:
    known = config_names(roots, group)
    message = f"there is no {'recipe' if group == GROUP else group} named {shown(name)}; {nearest(name, known)}"
    for root in roots:
        misplaced = root.folder / f"{name}.yaml"
        if root.group is None and is_file(misplaced):
            message += f" {str(misplaced)!r} lies outside the group: move it to {str(root.folder / group)!r}."
    if is_folder(name) and group == GROUP:
        message += f" A saved folder is opened by recipe={name} (in Python: load_model)."
    return message
