"""The parts of this project. To import it makes them known; an installed package needs no import (pyproject.toml)."""

from backbonekit import register
from my_project.head import MixedLevelsHead

register("head", "mixed_levels", MixedLevelsHead)
