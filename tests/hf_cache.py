"""A Hugging Face cache in a temporary folder, with repositories that were never downloaded."""

from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cache_repository(cache: Path, identifier: str, folder: Path) -> None:
    """The files of `folder` as the Hub repository `identifier` at `COMMIT`."""
    repository = cache / ("models--" + identifier.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / COMMIT).symlink_to(folder.resolve())
