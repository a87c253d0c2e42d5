"""The only file that calls the Hugging Face Hub's client. The client's errors are raised as StorageError.

huggingface_hub is imported inside the functions: a recipe without a repository starts without it.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4

from backbonekit.contract.progress import is_quiet
from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import git_hash_of, sha256_of

Result = TypeVar("Result")

MAIN = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,94}[A-Za-z0-9_])?"  # the Hub's own limit is 96 characters
_IDENTIFIER = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][\w.\-/]{0,199}", re.ASCII)
_WAITS = (0.5, 2.0)  # seconds before another try where the Hub failed itself; its client tries 429 again, but not 500
_TIMEOUT = 10.0  # seconds for the first response; a dead proxy should not hold a build for minutes
_PATIENCE = 60.0  # seconds for a whole request: a server that sends a byte now and then never reaches the time limit
_SLOWEST = 20_000  # bytes a second; a file that arrives more slowly is given up
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # the cache's names of files: git's sha1 of a small one, else a sha256


@dataclass(frozen=True, slots=True)
class Access:
    """How the Hub is read. `cache_dir`: the client's own cache where None. `token`: the stored one where None or True,
    none where False. `local_files_only`: nothing is requested, as with HF_HUB_OFFLINE."""

    cache_dir: Path | None = None
    token: str | bool | None = None
    local_files_only: bool = False


_ACCESS: ContextVar[Access] = ContextVar("access", default=Access())  # noqa: B039 it is frozen


@contextmanager
def reading_with(access: Access) -> Iterator[None]:
    """Every file of the Hub that is read inside, in this thread, is read in this way."""
    before = _ACCESS.set(access)
    try:
        yield
    finally:
        _ACCESS.reset(before)


def is_identifier(text: str) -> bool:
    """Whether a text has the form `owner/name` of a Hub repository."""
    return _IDENTIFIER.fullmatch(text) is not None and ".." not in text and "--" not in text


def check_identifier(identifier: str) -> str:
    """The identifier itself. Raises StorageError for anything but `owner/name`, before any request is made."""
    if not is_identifier(identifier):
        raise StorageError(
            f"{identifier!r} is neither an existing folder nor a Hub repository: a repository is written owner/name "
            "in letters, digits, '-', '_' and '.'."
        )
    return identifier


def check_revision(revision: str | None) -> str | None:
    """The revision itself: a branch, tag or commit. The client joins it into a path, so `..` must not reach it."""
    if revision is None:
        return None
    if not isinstance(revision, str) or _REVISION.fullmatch(revision) is None or ".." in revision or "//" in revision:
        raise StorageError(
            f"revision {revision!r} is no branch, tag or commit: letters, digits, '-', '_', '.' and '/' are allowed."
        )
    return revision


def resolve_commit(identifier: str, revision: str | None) -> tuple[str, frozenset[str] | None]:
    """The commit that a revision points to now, and the names of its files if the Hub was queried.

    A full commit needs no request. Offline, or when the Hub does not respond, the commit in the local cache is used.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision, None
    requested = revision or MAIN
    cached = _cached_commit(identifier, requested)
    if _is_offline():
        if cached is not None:
            return cached, None
        raise StorageError(_offline_message(identifier, requested))
    try:
        return file_names(identifier, requested)
    except StorageError as error:
        if cached is not None and isinstance(error, UnreachableError):
            return cached, None
        raise


def file_names(identifier: str, revision: str) -> tuple[str, frozenset[str]]:
    """Commit and file names of a revision, as the Hub lists them."""
    if _is_offline():
        raise UnreachableError(_offline_message(identifier, revision))
    from huggingface_hub import HfApi

    api = HfApi(token=_ACCESS.get().token)
    info = _call(lambda: api.model_info(identifier, revision=revision, timeout=_TIMEOUT), identifier, revision, "")
    if not isinstance(info.sha, str) or COMMIT.fullmatch(info.sha) is None:
        raise StorageError(f"{identifier}: the Hub named no commit for revision {revision!r}; try again later.")
    return info.sha, frozenset(str(entry.rfilename) for entry in info.siblings or ())


def cached_path(identifier: str, filename: str, commit: str) -> Path | None:
    """A file of one commit in the local cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(identifier, filename, revision=commit, cache_dir=_cache())
    return Path(found) if isinstance(found, str) else None


def download(identifier: str, filename: str, commit: str, *, limit: int | None = None) -> Path:
    """A file of one commit: from the cache, else downloaded into it; its content is compared with the hash that the
    Hub announced. Raises StorageError, also where it announces more than `limit` bytes."""
    cached = cached_path(identifier, filename, commit)
    if cached is not None:
        _check_blob(cached, identifier, filename)
        return cached
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    if _is_offline():
        raise UnreachableError(_offline_message(f"{identifier}: {filename}", commit))
    token, cache = _ACCESS.get().token, _cache()
    address = hf_hub_url(identifier, filename, revision=commit)
    announced = _call(
        lambda: get_hf_file_metadata(address, timeout=_TIMEOUT, token=token), identifier, commit, filename
    )
    # The client makes it a file name, with whatever path is in it.
    if _BLOB.fullmatch(announced.etag or "") is None:
        raise StorageError(f"{identifier}: {filename}: the Hub named no hash of it (its ETag is {announced.etag!r}).")
    if limit is not None and (announced.size or 0) > limit:
        raise StorageError(
            f"{identifier}: {filename} has {announced.size:,} bytes; more than {limit:,} are not downloaded for it."
        )
    since = time.time_ns()
    path = Path(
        _call(
            lambda: _silent_if_quiet(
                lambda: hf_hub_download(identifier, filename, revision=commit, cache_dir=cache, token=token)
            ),
            identifier,
            commit,
            filename,
            patience=_PATIENCE + (announced.size or 0) / _SLOWEST,
        )
    )
    if not path.resolve().is_relative_to(cache.resolve()):
        if path.resolve().stat().st_mtime_ns >= since:
            path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise StorageError(f"{identifier}: {filename}: the Hub named a path outside the cache for it; it was removed.")
    _check_blob(path, identifier, filename)
    return path


def remember(identifier: str, branch: str, commit: str) -> None:
    """Records in the cache which commit a branch points to, so that the branch can be opened offline.

    The client records it only for requests by branch; here files are requested by commit, so that all come from one.
    """
    reference = _reference(identifier, branch)
    if _cached_commit(identifier, branch) == commit:
        return
    try:
        reference.parent.mkdir(parents=True, exist_ok=True)
        new = reference.with_name(f".{reference.name}.{uuid4().hex}")
        new.write_text(commit, encoding="ascii")
        new.replace(reference)
    except OSError:
        return  # a cache that is only read serves as well


class UnreachableError(StorageError):
    """The Hub did not respond: the network is off, or slow, or the client is in offline mode."""


def call(action: Callable[[], Result], identifier: str, what: str) -> Result:
    """Runs one request of the client, once; what it raises becomes a StorageError about `identifier`."""
    return _call(action, identifier, MAIN, what, waits=(), patience=None)


def _call(
    action: Callable[[], Result],
    identifier: str,
    revision: str,
    filename: str,
    *,
    waits: Sequence[float] = _WAITS,
    patience: float | None = _PATIENCE,
) -> Result:
    for wait in (*waits, None):
        try:
            return action() if patience is None else _within(patience, action)
        except StorageError:
            raise
        # Every version of the client raises errors of another HTTP library, so the classes cannot be listed.
        except Exception as error:
            if wait is None or not _is_passing(error):
                raise _as_storage_error(error, identifier, revision, filename) from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _within(seconds: float, action: Callable[[], Result]) -> Result:
    """What `action` returns or raises. Raises TimeoutError when it does neither in time; it then ends by itself."""
    outcome: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            outcome.append((True, action()))
        except BaseException as error:
            outcome.append((False, error))

    thread = Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"not finished after {seconds:.0f} seconds")
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    return value


def _silent_if_quiet(action: Callable[[], Result]) -> Result:
    """Without the client's own bar of a download, where nothing but results and errors is to be seen."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if not is_quiet() or are_progress_bars_disabled():
        return action()
    disable_progress_bars()
    try:
        return action()
    finally:
        enable_progress_bars()


def _is_passing(error: Exception) -> bool:
    """Whether the Hub responded with a server error (status 500 and above), which is often temporary."""
    from huggingface_hub import errors

    return isinstance(error, errors.HfHubHTTPError) and error.response is not None and error.response.status_code >= 500


def _as_storage_error(error: Any, identifier: str, revision: str, filename: str) -> StorageError:
    from huggingface_hub import errors

    what = f"{identifier}: {filename}" if filename else identifier
    if isinstance(error, errors.GatedRepoError):
        return StorageError(
            f"{identifier} is gated: accept its terms on https://huggingface.co/{identifier}, then log in with"
            " `hf auth login`."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return StorageError(
            f"{identifier} does not exist on the Hub, or is private: check the spelling, or log in with"
            " `hf auth login`."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return StorageError(f"{identifier} has no branch, tag or commit {revision!r} on the Hub.")
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return UnreachableError(_offline_message(what, revision))
    if isinstance(error, errors.EntryNotFoundError):
        return StorageError(f"{identifier} has no file {filename!r} at revision {revision!r}.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else None
        if status is not None and status < 500:
            return StorageError(f"{what}: the Hub refused with status {status}: {_first_line(error)}")
        return UnreachableError(f"{what}: the Hub failed with status {status}; try again later.")
    if isinstance(error, OSError) and error.errno is not None and "http" not in type(error).__module__:
        return StorageError(f"{what}: could not be stored in the local cache: {error.strerror or error}.")
    return UnreachableError(
        f"{what}: the Hub did not respond, or broke off ({type(error).__name__}: {_first_line(error)}). The fix: try"
        " again where there is a network, or name a local folder; a backbone builds with random weights too,"
        " backbone.pretrained=false."
    )


def _offline_message(what: str, revision: str) -> str:
    return (
        f"{what} (revision {revision!r}) is not in the local cache and the Hub cannot be reached: go online once"
        f" (unset HF_HUB_OFFLINE), or run `hf download {what.split(':')[0]}` where there is a network and copy its"
        " cache, or name a local folder."
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no reason given")[:300]


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or _ACCESS.get().local_files_only


def _cache() -> Path:
    from huggingface_hub import constants

    return _ACCESS.get().cache_dir or Path(constants.HF_HUB_CACHE)


def _cached_commit(identifier: str, revision: str) -> str | None:
    try:
        commit = _reference(identifier, revision).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def _reference(identifier: str, revision: str) -> Path:
    folder = _cache() / ("models--" + identifier.replace("/", "--"))
    return folder / "refs" / Path(*revision.split("/"))


def _check_blob(path: Path, identifier: str, filename: str) -> None:
    """Raises StorageError where a file of the cache is not what its name, a hash of its content, says."""
    blob = path.resolve()
    if _BLOB.fullmatch(blob.name) is None or blob.parent.name != "blobs":
        return  # a cache without links, or one that somebody copied: nothing says what is in its files
    found = sha256_of(blob) if len(blob.name) == 64 else git_hash_of(blob)
    if found == blob.name:
        return
    # If kept, the next opening would use it.
    for damaged in {path, blob}:
        damaged.unlink(missing_ok=True)
    kind = "sha256" if len(blob.name) == 64 else "git hash"
    raise StorageError(
        f"{identifier}: {filename} is damaged (its {kind} is not {blob.name[:12]}...) and was removed; try once more."
    )
