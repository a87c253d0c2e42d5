"""Where `pretrained` points: a file, a folder or a Hub repository."""

from pathlib import Path

from backbonekit.errors import RecipeError
from backbonekit.weights.repository import Repository, open_repository


def locate(pretrained: bool | str, revision: str | None, own: str | None) -> Repository | Path:
    """`own`: the backbone's name, which `pretrained: true` stands for. `revision` is of a Hub repository.

    Raises RecipeError where there is no name, StorageError where nothing is found.
    """
    if pretrained is True:
        if own is None:
            raise RecipeError("pretrained: true needs backbone.name: a Hub id or a folder with the weights.")
        return open_repository(own, revision=revision)
    if not isinstance(pretrained, str) or not pretrained:
        raise RecipeError(f"pretrained must be true, a folder, a file or a Hub id, got {pretrained!r}.")
    path = Path(pretrained).expanduser()
    if path.suffix == ".safetensors" or path.is_file():
        return path
    return open_repository(pretrained, revision=None if path.is_dir() else revision)
