"""The file that a training is resumed from: written whole or not at all, and read as tensors and plain values."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from backbonekit.errors import StorageError, WeightsError


class CheckpointFile(CheckpointIO):
    """Writes beside the old file and renames, so that a full disk or a killed process leaves the old one. Reads with
    torch's `weights_only`: a checkpoint from somewhere else cannot run code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        temporary = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
            temporary.unlink(missing_ok=True)
            kept = f"; the checkpoint written before is kept ({path})" if path.is_file() else ""
            raise StorageError(f"{path} could not be written: {_first_line(error)}{kept}.") from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except FileNotFoundError as error:
            raise StorageError(f"{path}: there is no checkpoint to resume from.") from error
        except Exception as error:  # whatever a damaged or hostile file makes torch's reader raise
            raise WeightsError(f"{path} is damaged or no checkpoint: {_first_line(error)}.") from error

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error)).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
