"""The settings of an image processor of transformers: read from its file, changed by name, written again."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from backbonekit.errors import ContractError, StorageError, nearest
from backbonekit.hf_models.read_outputs import BOX_SCORING
from backbonekit.image_processing.preprocessor_config import (
    PREPROCESSOR_CONFIG,
    processor_kind,
    read_processing,
    standard_fields,
)
from backbonekit.image_processing.preprocessor_types import PREPROCESSOR_TYPES, UNTYPED

# What may be changed when a processor is loaded, in a call, or as an attribute.
SETTINGS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
    "pad_size",
    "do_reduce_labels",
    "ignore_index",
    "do_convert_annotations",
    "format",
)
# What the annotations of a detector are.
FORMATS = ("coco_detection", "coco_panoptic")
# What has no effect without its switch.
_SWITCHES = {
    "size": "do_resize",
    "resample": "do_resize",
    "crop_size": "do_center_crop",
    "rescale_factor": "do_rescale",
    "image_mean": "do_normalize",
    "image_std": "do_normalize",
    "pad_size": "do_pad",
}
# Older names, and what transformers writes besides; `standard_fields` holds what they say.
_REPLACED = {"feature_extractor_type", "max_size", "size_divisibility", "reduce_labels", "processor_class"}


class ProcessorSettings:
    """The content of a `preprocessor_config.json`, with what its processor does where the file is silent.

    `fields`: as in the file. `shown`: its name in error messages. `kind`: the image processor of transformers that it
    names, such as `Detr`; "" for none. `processing`: what is done to an image. Raises StorageError.
    """

    def __init__(self, fields: Mapping[str, Any], shown: str = PREPROCESSOR_CONFIG) -> None:
        self.fields = dict(fields)
        self.shown = shown
        self.kind = processor_kind(fields)
        self.processing = read_processing(fields, shown=shown)
        ignored = fields.get("ignore_index")
        if ignored is not None and (not isinstance(ignored, int) or isinstance(ignored, bool)):
            raise StorageError(f"{shown} has ignore_index {str(ignored)[:60]!r}; a whole number or null is expected.")
        form = fields.get("format") or FORMATS[0]
        if self.is_for_boxes and form not in FORMATS:
            raise StorageError(f"{shown} has format {str(form)[:60]!r}; known are {' and '.join(FORMATS)}.")
        self._values = {
            **standard_fields(fields, shown=shown),
            # Before transformers 4.29 it was called reduce_labels.
            "do_reduce_labels": fields.get("do_reduce_labels", fields.get("reduce_labels")) is True,
            "ignore_index": ignored,
            "do_convert_annotations": fields.get("do_convert_annotations") is not False,
            "format": form if self.is_for_boxes else None,
        }

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    @property
    def is_for_boxes(self) -> bool:
        """Whether it is a detector's, which reads annotations."""
        return self.kind in BOX_SCORING

    @property
    def refuses_padding(self) -> bool:
        """Whether images of one batch must come out at one size. (DPT's `do_pad` is about multiples.)"""
        is_about_batches = PREPROCESSOR_TYPES.get(self.kind, UNTYPED).divides != "centred"
        return is_about_batches and self.fields.get("do_pad") is False

    @property
    def always_masks(self) -> bool:
        """Whether a `pixel_mask` is returned even where nothing is padded."""
        pads = PREPROCESSOR_TYPES.get(self.kind, UNTYPED).pads or self.kind == "RTDetr"
        return pads and self["do_pad"]

    def changed(self, changes: Mapping[str, Any]) -> "ProcessorSettings":
        """With other values; None leaves a setting as it is. Raises ContractError with the nearest name, or for a value
        that cannot be."""
        given = {name: value for name, value in changes.items() if value is not None}
        unknown = [name for name in given if name not in SETTINGS]
        if unknown:
            raise ContractError(f"an image processor has no setting {unknown[0]!r}; {nearest(unknown[0], SETTINGS)}")
        if not given:
            return self
        if "format" in given and not self.is_for_boxes:
            raise ContractError("format is about the annotations of a detector; this image processor reads none.")
        faults = [
            f"{name}={str(value)[:60]} must be True or False."
            for name, value in given.items()
            if name.startswith("do_") and not isinstance(value, bool)
        ]
        if faults:
            raise ContractError(" ".join(faults))
        written = {name: self._written(name, value) for name, value in given.items()}
        kept = {name: value for name, value in self.fields.items() if not (name == "max_size" and "size" in written)}
        if "do_reduce_labels" in written:
            kept.pop("reduce_labels", None)
        try:
            settings = ProcessorSettings({**kept, **written}, f"with {', '.join(written)} the processor")
        except StorageError as error:
            raise ContractError(str(error)) from error
        idle = [(name, switch) for name, switch in _SWITCHES.items() if name in written and not settings[switch]]
        if idle:
            name, switch = idle[0]
            raise ContractError(f"{name} has no effect with {switch}=False. The fix: {switch}=True, or no {name}.")
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Every setting, under transformers' names, for a file."""
        kept = {name: value for name, value in self.fields.items() if name not in _REPLACED}
        set_ones = {name: value for name, value in self._values.items() if value is not None}
        if self.kind not in PREPROCESSOR_TYPES:
            return {**kept, **set_ones}
        if (divisor := self.processing.size_divisor) > 1:
            set_ones["size_divisor"] = divisor
        return {**kept, **set_ones, "image_processor_type": f"{self.kind}ImageProcessor"}

    def _written(self, name: str, value: Any) -> Any:
        """As the newest file has it."""
        value = plain(value)
        if name in ("size", "crop_size", "pad_size"):
            if isinstance(value, list) and len(value) == 2:
                return {"height": value[0], "width": value[1]}
            if isinstance(value, int):
                return self._by_one_side(value) if name == "size" else {"height": value, "width": value}
        return value

    def _by_one_side(self, side: int) -> dict[str, int]:
        kind = PREPROCESSOR_TYPES.get(self.kind, UNTYPED)
        if kind.one_side == "square":
            return {"height": side, "width": side}
        bound = (kind.size or {}).get("longest_edge")
        return {"shortest_edge": side} if bound is None else {"shortest_edge": side, "longest_edge": bound}


def plain(value: Any) -> Any:
    """As a file has it, of what transformers' processors hold: enumerations, tuples, sizes that are no mappings."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Iterable) and not isinstance(value, str | list):
        try:
            return dict(value)
        except (TypeError, ValueError):
            return value
    return value
