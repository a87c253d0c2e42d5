"""Checks the `processing` of a recipe: how an image becomes an input, where it differs from the backbone's own way."""

from typing import Any

from backbonekit.contract.option_values import coerced, faults_of, shown
from backbonekit.errors import nearest
from backbonekit.recipe.forbidden import shown_path
from backbonekit.registry.table import processing_fields


def read_processing(data: Any, in_channels: int, faults: list[str]) -> dict[str, Any]:
    if data is None:
        return {}
    fields = processing_fields()
    if not isinstance(data, dict):
        faults.append(f"processing: given {shown(data)}, must be a mapping with keys of {', '.join(fields)}.")
        return {}
    read: dict[str, Any] = {}
    for key, value in data.items():
        path = shown_path(f"processing.{key}")
        if key not in fields:
            faults.append(f"{path} is unknown; {nearest(key, fields)}")
            continue
        found = faults_of(path, value, fields[key]["schema"])
        faults.extend(found)
        if not found:
            read[key] = coerced(value, fields[key]["schema"])
    for key in ("mean", "std"):
        if key in read and len(read[key]) not in (1, in_channels):
            faults.append(
                f"processing.{key} has {len(read[key])} values, one for each of {in_channels} channels is right."
            )
    if read.get("size") is not None:
        for key in ("shortest_edge", "longest_edge"):
            if read.get(key) is not None:
                faults.append(f"processing.size and processing.{key} are two ways to resize; give one of them.")
    if (read.get("keep_aspect_ratio") or (read.get("multiple_of") or 1) > 1) and not (
        read.get("keep_aspect_ratio") and read.get("size") is not None
    ):
        faults.append(
            "processing.size, keep_aspect_ratio: true and multiple_of go together; give the first two at least."
        )
    return read
