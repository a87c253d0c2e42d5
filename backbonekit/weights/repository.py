"""A source of files: a local folder, or one commit of a Hub repository, from which all files then come."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from backbonekit.errors import StorageError, nearest
from backbonekit.weights import hub
from backbonekit.weights.hub_address import is_address, read_address
from backbonekit.weights.untrusted_files import JSON_LIMIT, beginning, names_in, read_json, user_path
from backbonekit.weights.write_folder import file_in, files_in

_LICENCE = re.compile(r"^licen[sc]e:[ \t]*['\"]?([\w.+\-]{1,60})['\"]?[ \t]*$", re.MULTILINE)
_CARD_HEADER = 20_000  # bytes of a model card within which its header has to end
_MAX_CARD = 16 * 2**20  # bytes; of a longer one the licence is not read


@dataclass(frozen=True)
class Repository:
    """`identifier`: the Hub id, or the folder as given. `folder`: set when local. `commit`: 40 hex digits on the Hub.

    `listed`: the file names, if opening it listed them. `branch`: the branch or tag that pointed to the commit when
    the repository was opened. `subfolder`: the folder of a Hub repository in which all files are, or ''.
    """

    identifier: str
    folder: Path | None
    commit: str | None
    listed: frozenset[str] | None = None
    branch: str | None = None
    subfolder: str = ""

    @property
    def origin(self) -> str:
        """For people: the identifier, with a short commit where there is one."""
        inside = f"/{self.subfolder}" if self.subfolder else ""
        return self.identifier if self.commit is None else f"{self.identifier}@{self.commit[:8]}{inside}"

    def has(self, filename: str) -> bool:
        """Whether the file exists. Offline, only what is in the cache does."""
        _check_filename(filename)
        if self.folder is not None:
            return file_in(self.folder, filename).is_file()
        assert self.commit is not None
        if hub.cached_path(self.identifier, self._inside(filename), self.commit) is not None:
            return True
        return filename in self.files

    @cached_property
    def files(self) -> frozenset[str]:
        """The names of all files (of a folder: those directly in it). Of an unreachable repository: none."""
        if self.folder is not None:
            names_in(self.folder)
            return files_in(self.folder)
        listed = self.listed
        if listed is None:
            assert self.commit is not None
            try:
                listed = hub.file_names(self.identifier, self.commit)[1]
            except hub.UnreachableError:
                return frozenset()
        start = self._inside("")
        return frozenset(name.removeprefix(start) for name in listed if name.startswith(start))

    def _inside(self, filename: str) -> str:
        return f"{self.subfolder}/{filename}" if self.subfolder else filename

    def path(self, filename: str, *, limit: int | None = None) -> Path:
        """Where the file lies on this machine; downloads it if needed, where it has at most `limit` bytes. Raises
        StorageError."""
        _check_filename(filename)
        if self.folder is None:
            assert self.commit is not None
            downloaded = hub.download(self.identifier, self._inside(filename), self.commit, limit=limit)
            if self.branch is not None:
                hub.remember(self.identifier, self.branch, self.commit)
            return downloaded
        path = file_in(self.folder, filename)
        if not path.is_file():
            raise StorageError(f"{self.folder} has no file {filename!r}; {nearest(filename, self.files)}")
        return path

    def json(self, filename: str) -> dict[str, Any]:
        """A JSON file that holds an object. Raises StorageError for anything else."""
        return read_json(self.path(filename, limit=JSON_LIMIT), shown=f"{self.origin}: {filename}")

    @cached_property
    def licence(self) -> str | None:
        """The licence that the model card's header states, or None. Never raises: a licence is a help, not a need."""
        try:
            if not self.has("README.md"):
                return None
            text = beginning(self.path("README.md", limit=_MAX_CARD), _CARD_HEADER).decode("utf-8", errors="replace")
        except OSError:
            return None
        header = re.match(r"\ufeff?---\r?\n(.*?)\r?\n---", text, re.DOTALL)
        found = _LICENCE.search(header.group(1)) if header else None
        return found.group(1) if found else None


def open_repository(identifier: str | Path, *, revision: str | None = None) -> Repository:
    """An existing local folder, else a Hub repository at one resolved commit, given as owner/name or as
    `hf://owner/name@revision/folder`.

    Raises StorageError when it is neither, when the repository or revision does not exist, and when the Hub cannot be
    reached and nothing is cached.
    """
    if not str(identifier):
        raise StorageError("An empty name was given where a folder or a Hub repository (owner/name) is expected.")
    subfolder = ""
    if isinstance(identifier, str) and is_address(identifier):
        address = read_address(identifier)
        if None not in (revision, address.revision) and revision != address.revision:
            raise StorageError(f"{identifier}: it names a revision, and revision {revision!r} is given too; give one.")
        identifier, subfolder, revision = address.identifier, address.folder, revision or address.revision
        folder = None
    else:
        folder = user_path(identifier)
    if folder is not None and folder.is_dir():
        if revision is not None:
            raise StorageError(f"{identifier} is a local folder and has no revisions; given: revision {revision!r}.")
        return Repository(str(identifier), folder, None)
    if folder is not None and (isinstance(identifier, Path) or _looks_like_path(identifier)):
        kind = "is a file, not a folder" if folder.is_file() else "does not exist"
        raise StorageError(f"The folder {str(identifier)!r} {kind}.")
    identifier = hub.check_identifier(str(identifier))
    hub.check_revision(revision)
    commit, listed = hub.resolve_commit(identifier, revision)
    branch = None if listed is None else revision or hub.MAIN
    return Repository(identifier, None, commit, listed, branch, subfolder)


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", ".", "~")) or "\\" in text or text.count("/") > 1 or Path(text).is_absolute()


def _check_filename(filename: str) -> None:
    path = PurePosixPath(filename)
    if not filename or path.is_absolute() or ".." in path.parts or re.search(r"[\\:\x00-\x1f]", filename):
        raise StorageError(f"{filename!r} is no name of a file inside a repository.")
