"""Data sets in the formats that people have, each as images with targets; what augments them.

Nothing here imports torch before an image or an augmentation is used.
"""

from backbonekit.data.given import GivenData
from backbonekit.data.opening import open_augmentation, open_data

__all__ = ["AugmentedSplit", "GivenData", "open_augmentation", "open_data"]


def __getattr__(name: str) -> object:
    if name == "AugmentedSplit":  # imports torch
        from backbonekit.data.augmented_split import AugmentedSplit

        return AugmentedSplit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
