"""`hf://owner/name@revision/folder`: a repository of the Hub, one of its revisions, and a folder inside it."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from backbonekit.errors import StorageError

SCHEME = "hf://"
_OTHER_KINDS = ("datasets", "spaces")
_FOLDER = re.compile(r"[\w.+\- ]+(?:/[\w.+\- ]+)*")
# Of revisions with slashes the Hub's own tools leave those of pull requests as they are.
_ADDRESS = re.compile(
    r"hf://(?P<identifier>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<folder>.*))?"
)


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
    found = _ADDRESS.fullmatch(text.rstrip("/"))
    if found is None:
        raise _error(text, "no revision follows the @" if "@" in text else "it names no repository")
    identifier, folder = found["identifier"], found["folder"] or ""
    owner = identifier.partition("/")[0]
    if owner in _OTHER_KINDS:
        raise _error(text, f"{owner} hold no models")
    if folder and (_FOLDER.fullmatch(folder) is None or ".." in folder.split("/")):
        raise _error(text, f"{folder!r} is no folder inside a repository")
    revision = found["revision"]
    return HubAddress(identifier, None if revision is None else unquote(revision), folder)


def _error(text: str, why: str) -> StorageError:
    return StorageError(f"{text[:200]!r}: {why}. An address is written hf://owner/name@revision/folder.")
