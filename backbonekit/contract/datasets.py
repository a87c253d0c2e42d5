"""What a data set is: images with their targets, split by name, and the classes that the annotations name."""

from typing import Any, Protocol, runtime_checkable

from backbonekit.contract.labels import Labels


@runtime_checkable
class Split(Protocol):
    """One part of a data set (`train`, `val`, `test`): a map-style data set as `torch.utils.data` reads it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        """The image as its file has it (Pillow, or an array [height, width, bands]) and its target: the keys of
        docs/targets.md, in pixels of this image, with labels as class indices of `DataSource.labels`."""
        ...

    def name(self, index: int) -> str:
        """The file of the image, as messages and results name it."""
        ...

    def image_id(self, index: int) -> int | str:
        """The id of the image in the annotations; without ids, its name."""
        ...


@runtime_checkable
class SizedSplit(Split, Protocol):
    """A split that knows how large its images are without decoding them."""

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image, upright."""
        ...


@runtime_checkable
class DataSource(Protocol):
    """A data set in one format. `labels`: the classes with the annotations' own names and ids; None where the format
    has none (depth maps). It is read without an image being opened."""

    labels: Labels | None

    def split(self, name: str) -> Split:
        """Raises RecipeError, with the splits that were given, for one that was not."""
        ...
