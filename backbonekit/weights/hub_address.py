"""`hf://owner/name@revision/folder`: a repository of the Hub, one of its revisions, and a folder inside it."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from backbonekit.errors import StorageError

SCHEME = "hf://"
_OTHER_KINDS = ("datasets", "spaces")
_FOLDER = re.compile(r"[\w.+\- ]+(?:/[\w.+\- ]+)*")
# A branch of a pull request, the only ones whose slashes the Hub's own tools leave as they are.
_REVISION = re.compile(r"refs/(?:pr|convert)/[^/@]+|[^/@]+")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """`identifier`: owner/name. `revision`: a branch, tag or commit, or None. `folder`: one inside it, or ''."""

    identifier: str
    revision: str | None = None
    folder: str = ""


def is_address(text: object) -> bool:
    """Whether a location is written as an address of the Hub."""
    return isinstance(text, str) and text.startswith(SCHEME)


def read_address(text: str) -> HubAddress:
    """Raises StorageError for anything else than `hf://owner/name`, to which `@revision` and `/folder` may be added. A
    slash in a revision is written %2F."""
    rest = text.removeprefix(SCHEME).rstrip("/")
    owner, _, after = rest.partition("/")
    name, at, tail = after.partition("@") if "@" in after.partition("/")[0] else (*after.partition("/")[:1], "", "")
    revision = None
    if at:
        found = _REVISION.match(tail)
        if found is None:
            raise _error(text, "no revision follows the @")
        revision, folder = unquote(found[0]), tail[found.end() :]
    else:
        folder = after[len(name) :]
    folder = folder.lstrip("/")
    if not owner or not name:
        raise _error(text, "it names no repository")
    if owner in _OTHER_KINDS:
        raise _error(text, f"{owner} hold no models")
    if folder and (_FOLDER.fullmatch(folder) is None or ".." in folder.split("/")):
        raise _error(text, f"{folder!r} is no folder inside a repository")
    return HubAddress(f"{owner}/{name}", revision, folder)


def _error(text: str, why: str) -> StorageError:
    return StorageError(f"{text[:200]!r}: {why}. An address is written hf://owner/name@revision/folder.")
