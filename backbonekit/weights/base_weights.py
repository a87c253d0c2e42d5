"""The published checkpoint that a part's weights started from, to the bytes: what a saved recipe says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import sha256_of


@dataclass(frozen=True, slots=True)
class BaseWeights:
    """`name`: the Hub id; "" for files of this machine, whose paths are of use to nobody else. `commit`: of the Hub.
    `files`: the sha256 of each file by its name, or the path of one that is not computed yet. `is_trained`: whether the
    values have changed since."""

    name: str
    commit: str | None
    files: Mapping[str, str | Path]
    is_trained: bool = False

    @property
    def shown(self) -> str:
        """For people: the id with its commit, or the names of the files."""
        if not self.name:
            return ", ".join(self.files)
        return f"{self.name}@{self.commit}" if self.commit else self.name

    def digests(self) -> dict[str, str]:
        """The sha256 of each file. Raises StorageError for one that cannot be read any more."""
        try:
            return {name: found if isinstance(found, str) else sha256_of(found) for name, found in self.files.items()}
        except OSError as error:
            raise StorageError(f"{error.filename}: {error.strerror}; its sha256 belongs into the recipe.") from error

    def trained(self) -> "BaseWeights":
        return replace(self, is_trained=True)
