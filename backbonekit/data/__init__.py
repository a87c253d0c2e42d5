"""Data sets in the formats that people have, each as images with targets; what augments them.

Nothing here imports torch before an image or an augmentation is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from backbonekit.data.given import GivenData
from backbonekit.data.opening import open_augmentation, open_data
from backbonekit.data.paper import paper_steps

if TYPE_CHECKING:
    from backbonekit.data.augmented_split import AugmentedSplit
    from backbonekit.data.training_size import training_processor

__all__ = ["AugmentedSplit", "GivenData", "open_augmentation", "open_data", "paper_steps", "training_processor"]

_WITH_TORCH = {
    "AugmentedSplit": "backbonekit.data.augmented_split",
    "training_processor": "backbonekit.data.training_size",
}


def __getattr__(name: str) -> object:
    if name in _WITH_TORCH:
        return getattr(import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
