"""A model into a folder: recipe, weights, processing and model card, all or nothing."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.hub.layout import CARD, RECIPE, is_ours
from backbonekit.hub.manifest import seal_of
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, write_processing
from backbonekit.weights.write_folder import replacing
from backbonekit.weights.write_tensors import MAX_SHARD_BYTES, save_tensors


def save_model(
    folder: str | Path,
    *,
    recipe_yaml: str,
    state_dict: Mapping[str, Tensor],
    processing: Processing,
    card: str,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Writes the four kinds of files and returns the folder. The same model gives the same bytes.

    `recipe_yaml`: the flat recipe as a YAML mapping in block style; the weights' sha256 are written after it.
    `card`: the text of README.md. An older model in the folder is replaced once the new one is complete; files that are
    no part of a model stay. Raises StorageError, and WeightsError for tensors without values.
    """
    folder = Path(folder).expanduser()
    with replacing(folder, stale=is_ours, last=RECIPE) as new:
        weight_files = save_tensors(new, state_dict, max_shard_bytes=max_shard_bytes)
        fields = json.dumps(write_processing(processing), indent=2, sort_keys=True)
        _write(new / PREPROCESSOR_CONFIG, fields)
        _write(new / CARD, card)
        _write(new / RECIPE, recipe_yaml.rstrip("\n") + "\n" + seal_of(new, weight_files).to_yaml())
    return folder


def _write(path: Path, text: str) -> None:
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
