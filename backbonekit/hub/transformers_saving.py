"""A composed model into a folder that transformers reads: `config.json`, weights, processing and a model card."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, StorageError, WeightsError
from backbonekit.hub.saved_model import CARD, CONFIG, is_of_any_model, model_in, write_text
from backbonekit.hub.transformers_form import TransformersForm
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing, write_processing
from backbonekit.registry.model_names import MODELS
from backbonekit.weights.untrusted_files import read_json, user_path
from backbonekit.weights.write_folder import file_in, replacing
from backbonekit.weights.write_tensors import MAX_SHARD_BYTES, save_tensors


def save_for_transformers(
    folder: str | Path,
    form: TransformersForm,
    *,
    state_dict: Mapping[str, Tensor],
    processing: Processing,
    card: str,
    overwrite: bool | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """All or nothing; returns the folder. `overwrite`: whether a model in the folder may be replaced; None: one with
    the same `config.json`. Raises StorageError, and WeightsError for tensors without values or without a name."""
    path = user_path(folder)
    floating = next((one.dtype for one in state_dict.values() if one.is_floating_point()), None)
    config = {**form.config, "dtype": str(floating).removeprefix("torch.")}
    if not overwrite:
        _check_free(path, None if overwrite is False else config)
    try:
        weights = form.converter.weights(config, state_dict)
    except WeightsError as error:
        raise ContractError(
            f"transformers' {form.architecture} has no such model: {error} The fix, which saves it as it is:"
            " save_pretrained(folder)."
        ) from error
    with replacing(path, stale=is_of_any_model, last=CONFIG) as new:
        # A joined matrix is written as its parts, which must not share memory.
        save_tensors(new, {name: one.contiguous() for name, one in weights.items()}, max_shard_bytes=max_shard_bytes)
        written = written_processing(config["model_type"], processing)
        write_text(new / PREPROCESSOR_CONFIG, json.dumps(written, indent=2, sort_keys=True))
        write_text(new / CARD, card)
        write_text(new / CONFIG, json.dumps(config, indent=2))
    return path


def written_processing(model_type: str, processing: Processing) -> dict[str, Any]:
    """The content of `preprocessor_config.json`, with transformers' processor of the model, which also holds how
    predictions are read, if it prepares images in the same way."""
    # What concerns targets stands in config.json.
    processing = replace(processing, ignore_label=None, label_map=None)
    written = write_processing(processing)
    known = {"segformer": "Segformer"} | {name: model.processor for name, model in MODELS.items()}
    if model_type not in known:  # a classifier, whose predictions no processor reads
        return written
    processor = known[model_type]
    named = {**written, "image_processor_type": f"{processor}ImageProcessor"}
    return named if read_processing(named, shown=PREPROCESSOR_CONFIG) == processing else written


def _check_free(folder: Path, config: Mapping[str, Any] | None) -> None:
    held = model_in(folder)
    if held is None:
        return
    if config is not None and held == CONFIG:
        try:
            before = read_json(file_in(folder, CONFIG))
        except StorageError:
            before = {}
        if {**before, "dtype": None} == {**json.loads(json.dumps(config)), "dtype": None}:
            return
    raise StorageError(
        f"{folder} holds another model ({held}), which would be lost. The fix: another folder, or overwrite=True."
    )
