"""Parts that installed packages offer: entry points of the group `backbonekit.parts`, named `kind.name`.

In the plugin's pyproject.toml:

    [project.entry-points."backbonekit.parts"]
    "neck.my_neck" = "my_package.necks:MyNeck"

Only metadata is read here; a plugin is imported when a recipe uses its part.
"""

from functools import lru_cache
from importlib.metadata import entry_points

from backbonekit.errors import RecipeError
from backbonekit.registry.builtin import BUILTIN, KINDS

GROUP = "backbonekit.parts"


@lru_cache(maxsize=1)
def plugin_targets() -> dict[tuple[str, str], str]:
    """(kind, name) -> "module:attribute", over all installed packages.

    Raises RecipeError for an entry that is not `kind.name`, that takes a shipped name, or that two packages offer.
    """
    targets: dict[tuple[str, str], str] = {}
    faults = []
    for entry in sorted(entry_points(group=GROUP), key=lambda item: (item.name, item.value)):
        kind, dot, name = entry.name.partition(".")
        package = entry.dist.name if entry.dist is not None else "an installed package"
        where = f"the entry point {entry.name!r} of {package}"
        if not dot or kind not in KINDS:
            faults.append(
                f"{where} is not of the form kind.name with a kind of {', '.join(KINDS)}; uninstall or fix it."
            )
        elif name in BUILTIN[kind]:
            faults.append(f"{where} takes the name of a shipped {kind}; only register(..., override=True) may do that.")
        elif targets.get((kind, name), entry.value) != entry.value:
            faults.append(f"{where} offers a {kind} that another package offers too; uninstall one of them.")
        else:
            targets[kind, name] = entry.value
    if faults:
        raise RecipeError(faults)
    return targets
