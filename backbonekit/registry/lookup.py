"""Names to parts. A part is imported when its name is resolved; the error for an unknown name has the nearest one."""

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from backbonekit.errors import RecipeError, nearest
from backbonekit.registry.builtin import BUILTIN, KINDS
from backbonekit.registry.plugins import Offer, plugin_offers

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
# What wiring reads of a class before it is constructed, and what to write there.
_DECLARED = {
    "needs": "a classmethod needs(cls, wanted) that returns a Requirement, such as Requirement(strides=(4, 8, 16, 32))",
    "criterion": "the name of its loss, or None where its forward computes the losses",
    "scoring": 'how its scores are read: "softmax", "sigmoid" or another word of contract/predictions.py',
}
_DECLARATIONS = {"neck": ("needs",), "head": ("needs", "criterion", "scoring")}
_REGISTERED: dict[tuple[str, str], Any] = {}


def register(kind: str, name: str, target: Any, *, override: bool = False) -> None:
    """Adds a part of your own: `target` is the class (or a source's function), or "module:attribute" to import it late.

    `kind`: backbone, neck, head, criterion, data (a format), augmentation or checkpoint (a converter). Raises
    RecipeError where the name is taken, unless `override`; registering the same thing again is no clash.
    """
    _check_kind(kind)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RecipeError(f"{name!r} is no name for a {kind}: letters, digits and underscores, a letter first.")
    taken = _REGISTERED.get((kind, name), BUILTIN[kind].get(name))
    if taken is not None and taken is not target and taken != target and not override:
        raise RecipeError(f"there is a {kind} named {name!r} already ({taken}); choose another name or override=True.")
    _REGISTERED[kind, name] = target


def resolve(kind: str, name: str) -> Any:
    """The part of that name, imported now. Raises RecipeError for an unknown name or a part that cannot be imported."""
    target = target_of(kind, name)
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    try:
        found: Any = import_module(module)
        for step in attribute.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise RecipeError(_not_imported(kind, name, target, str(error))) from error
    except Exception as error:  # whatever the module of somebody else does when it is imported
        if target == BUILTIN[kind].get(name):
            raise
        raise RecipeError(_not_imported(kind, name, target, f"{type(error).__name__}: {error}")) from error
    return found


def _not_imported(kind: str, name: str, target: str, reason: str) -> str:
    offer = offer_of(kind, name)
    package = "" if offer is None else f" of the package {offer.package} {offer.version}"
    return f"the {kind} {name!r}{package} ({target}) could not be imported: {reason}."


def target_of(kind: str, name: str) -> Any:
    """The target of a name: an object that was registered, or "module:attribute"; nothing is imported."""
    _check_kind(kind)
    if (kind, name) in _REGISTERED:
        return _REGISTERED[kind, name]
    if name in BUILTIN[kind]:
        return BUILTIN[kind][name]
    if (kind, name) in plugin_offers().clashes:
        raise RecipeError(plugin_offers().clashes[kind, name])
    if (kind, name) in plugin_offers().parts:
        return plugin_offers().parts[kind, name].target
    raise RecipeError(f"there is no {kind} named {name!r}; {nearest(str(name), names(kind))}")


def check_declarations(kind: str, name: str, part: Any, *, declared: Sequence[str] | None = None) -> None:
    """Raises RecipeError for a part of somebody's own that lacks what wiring reads of its class; `declared`: only
    these."""
    faults = [
        f"the {kind} {name!r} lacks `{each}`: {_DECLARED[each]}. docs/add_a_part.md has a whole one."
        for each in declared or _DECLARATIONS.get(kind, ())
        if not hasattr(part, each)
    ]
    if faults:
        raise RecipeError(faults)


def is_known(kind: str, name: object) -> bool:
    """Whether a recipe may use this name."""
    if not isinstance(name, str):
        return False
    if (kind, name) in _REGISTERED or name in BUILTIN[kind]:
        return True
    return (kind, name) in plugin_offers().parts or (kind, name) in plugin_offers().clashes


def offer_of(kind: str, name: str) -> Offer | None:
    """What an installed package offers under this name; None for a part that ships or was registered."""
    if (kind, name) in _REGISTERED or name in BUILTIN[kind]:
        return None
    return plugin_offers().parts.get((kind, name))


def names(kind: str) -> tuple[str, ...]:
    """Every name of a kind: shipped, registered, and offered by installed packages; sorted."""
    _check_kind(kind)
    added = (known for of, known in (*_REGISTERED, *plugin_offers().parts) if of == kind)
    return tuple(sorted({*BUILTIN[kind], *added}))


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise RecipeError(f"{kind!r} is no kind of part; {nearest(str(kind), KINDS)}")
