"""Where `from_pretrained` reads: a folder, a folder inside it, or a Hub repository, with transformers' options."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backbonekit.weights.hub import Access, reading_with
from backbonekit.weights.hub_address import SCHEME
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import user_path


@contextmanager
def reading(cache_dir: str | Path | None, token: str | bool | None, local_files_only: bool) -> Iterator[None]:
    """Everything of the Hub that is read inside is read as these options say; see `files_of`."""
    cache = None if cache_dir is None else user_path(cache_dir)
    with reading_with(Access(cache, token, local_files_only)):
        yield


@contextmanager
def files_of(
    name_or_folder: str | Path,
    *,
    revision: str | None,
    cache_dir: str | Path | None,
    token: str | bool | None,
    local_files_only: bool,
    subfolder: str,
) -> Iterator[Repository]:
    """The repository, read inside the context as the options say; other repositories that are opened there as well.

    `revision`: a branch, tag or commit. `cache_dir`: another cache than the Hub client's. `token`: for private
    repositories; True is the stored one, False none. `local_files_only`: nothing is requested. `subfolder`: a folder
    inside it. Raises StorageError.
    """
    with reading(cache_dir, token, local_files_only):
        yield open_repository(located(name_or_folder, subfolder), revision=revision)


def located(name_or_folder: str | Path, subfolder: str) -> str | Path:
    """A folder inside a local one, or inside a Hub repository."""
    if not subfolder:
        return name_or_folder
    folder = user_path(name_or_folder)
    return folder / subfolder if folder.is_dir() else f"{SCHEME}{name_or_folder}/{subfolder}"
