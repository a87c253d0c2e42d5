"""Libraries that measure and draw, imported when they are used: they come with the extra `train`."""

from importlib import import_module
from typing import Any

from backbonekit.errors import RecipeError


def required(module: str, package: str) -> Any:
    """The module. Raises RecipeError where `package` is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise RecipeError(
            f"evaluation uses {package}, which is not installed. The fix: pip install 'backbonekit[train]'."
        ) from error
