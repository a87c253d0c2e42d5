"""`preprocessor_config.json`, the file that says how images are prepared, read as `Processing` and written from it.

Reads what transformers wrote from its feature extractors to version 5, and what we write; ours is read by transformers.
What a `Processing` cannot express is refused, never left out: a model that receives images prepared in another way than
in its training predicts wrongly without an error.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from backbonekit.contract.option_values import faults_of, shown
from backbonekit.contract.processing import Border, Interpolation, Processing, Rounding
from backbonekit.errors import StorageError, nearest
from backbonekit.image_processing.preprocessor_types import (
    PREPROCESSOR_TYPES,
    REFUSED_TYPES,
    UNTYPED,
    PreprocessorType,
)

PREPROCESSOR_CONFIG = "preprocessor_config.json"

_INTERPOLATIONS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_RESAMPLES = {name: number for number, name in _INTERPOLATIONS.items()}
_MAX_SIDE = 16_384  # pixels
_MAX_CHANNELS = 1_024
_RANGE = "value_range"
_NUMBER = {"type": "number", "minimum": -1e12, "maximum": 1e12}  # in the image's own units
_FRACTION = {"type": "number", "minimum": 0.01, "maximum": 1}
_UP_TO_A_MILLION = {"type": "number", "minimum": -1e6, "maximum": 1e6}
_ENDING = re.compile(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$")


def read_processing(fields: Mapping[str, Any], *, shown: str = PREPROCESSOR_CONFIG) -> Processing:
    """`fields`: the file's content. `shown`: its name in error messages.

    Raises StorageError for a value that is none, and for a preparation that `Processing` cannot say.
    """
    return _Reader(fields, shown).read()


def processor_kind(fields: Mapping[str, Any]) -> str:
    """The image processor of transformers that the file names, without its ending (`Detr`, `ViT`); "" if none."""
    given = fields.get("image_processor_type") or fields.get("feature_extractor_type")
    return _ENDING.sub("", given) if isinstance(given, str) else ""


def standard_fields(fields: Mapping[str, Any], *, shown: str = PREPROCESSOR_CONFIG) -> dict[str, Any]:
    """The settings of a file under their newest names and in full, with those of its class where it is silent.

    What is None is not used. Raises StorageError, as `read_processing`.
    """
    return _Reader(fields, shown).standard()


def write_processing(processing: Processing) -> dict[str, Any]:
    """The file's content. Law: `read_processing(write_processing(p)) == p`; of two equal edges the longest is left.

    `image_processor_type` is set where an image processor of transformers does the same. `border` and `rounding` are no
    keys of transformers; where they decide pixels there is no type.
    """
    kind, size = _fitting_type(processing)
    fields: dict[str, Any] = {
        "do_resize": size is not None or processing.size_divisor > 1,
        "size": size,
        "resample": _RESAMPLES[processing.interpolation],
        "do_center_crop": processing.crop is not None,
        "do_rescale": processing.range is None,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(processing.mean),
        "image_std": list(processing.std),
        # That of DPT is about multiples.
        "do_pad": processing.crop is None and (processing.size is None or (processing.keep_aspect_ratio and not kind)),
    }
    if processing.crop is not None:
        fields["crop_size"] = {"height": processing.crop[0], "width": processing.crop[1]}
    if processing.size_divisor > 1 or kind == "MaskFormer":
        fields["size_divisor"] = processing.size_divisor
    if processing.keep_aspect_ratio:
        fields["keep_aspect_ratio"] = True
        fields["ensure_multiple_of"] = processing.multiple_of
    if processing.canvas is not None:
        fields["do_pad"] = True
        fields["pad_size"] = {"height": processing.canvas[0], "width": processing.canvas[1]}
    if processing.range is not None:
        fields[_RANGE] = list(processing.range)
    if processing.border != "black":
        fields["border"] = processing.border
    if processing.rounding != "down":
        fields["rounding"] = processing.rounding
    if kind is not None:
        fields["image_processor_type"] = f"{kind}ImageProcessor"
    return fields


def _fitting_type(processing: Processing) -> tuple[str | None, dict[str, int] | None]:
    size: dict[str, int] | None = None
    if processing.size is not None:
        size = {"height": processing.size[0], "width": processing.size[1]}
    elif processing.shortest_edge is not None:
        size = {"shortest_edge": processing.shortest_edge}
        if processing.longest_edge is not None:
            size["longest_edge"] = processing.longest_edge
    elif processing.longest_edge is not None:
        # For transformers the longer side is a bound of the shorter one, so that this is the longer side alone.
        size = {"shortest_edge": processing.longest_edge, "longest_edge": processing.longest_edge}
    elif processing.max_size is not None:
        size = {"max_height": processing.max_size[0], "max_width": processing.max_size[1]}
    if processing.rounding != "down" and (processing.crop is not None or processing.max_size is not None):
        return None, size
    if processing.border != "black" and processing.crop is not None:
        return None, size
    if processing.size_divisor == 1 and processing.canvas is None:
        if processing.keep_aspect_ratio:
            return ("DPT" if processing.crop is None else None), size
        if processing.size is not None:
            return ("ViT" if processing.crop is None else "DeiT"), size
        if size is None or processing.crop is not None:
            return "Bit", size
    if processing.keep_aspect_ratio:
        return None, size
    is_bounded = set(size or ()) != {"shortest_edge"} and size is not None
    return ("MaskFormer" if processing.crop is None and is_bounded else None), size


def _named(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


class _Reader:
    """One file; keeps its name for the messages."""

    def __init__(self, fields: Mapping[str, Any], shown: str) -> None:
        self.fields = fields
        self.shown = shown
        self.name, self.type = self._find_type()

    def read(self) -> Processing:
        self._refuse_what_cannot_be_said()
        mean, std = self._statistics()
        return Processing(
            **{"crop": self._crop(), **self._sizes()},
            size_divisor=self._divisor(),
            keep_aspect_ratio=self._keeps_aspect_ratio(),
            multiple_of=self._multiple() if self._keeps_aspect_ratio() else 1,
            border=self._choice("border", get_args(Border)),
            rounding=self._choice("rounding", get_args(Rounding)),
            interpolation=self._interpolation(),
            range=self._range(),
            mean=mean,
            std=std,
            canvas=self._canvas(),
        )

    def standard(self) -> dict[str, Any]:
        crops = self._flag("do_center_crop", self.type.crop is not None)
        crop = self._value("crop_size", self.type.crop)
        pad = self._value("pad_size", None)
        return {
            "do_resize": self._flag("do_resize", True),
            "size": self._standard_size(),
            "resample": self._value("resample", self.type.resample),
            "do_center_crop": crops,
            "crop_size": None if crop is None else _named(self._pair("crop_size", crop)),
            "do_rescale": self._flag("do_rescale", True),
            "rescale_factor": self._value("rescale_factor", 1 / 255),
            "do_normalize": self._flag("do_normalize", self.type.does_normalize),
            "image_mean": list(self._numbers("image_mean", self.type.mean)),
            "image_std": list(self._numbers("image_std", self.type.std)),
            "do_pad": self._flag("do_pad", self.type.pads),
            "pad_size": None if pad is None else _named(self._pair("pad_size", pad)),
        }

    def _standard_size(self) -> dict[str, int] | None:
        given = self._value("size", self.type.size)
        if given is None:
            return None
        if not isinstance(given, Mapping):
            given = self._from_old_size(given)
        return {key: self._side(f"size.{key}", value) for key, value in given.items() if value is not None}

    def _find_type(self) -> tuple[str, PreprocessorType]:
        given = self._value("image_processor_type", self._value("feature_extractor_type", None))
        if given is None:
            return "", UNTYPED
        name = processor_kind(self.fields)
        if name in REFUSED_TYPES:
            raise self._error(
                f"prepares images by {given!r}, which {REFUSED_TYPES[name]}; that is not done here. The fix: prepare"
                " them with transformers; for the backbone alone, a copy of its folder without this file."
            )
        if name not in PREPROCESSOR_TYPES:
            raise self._error(
                f"prepares images by {str(given)[:80]!r}, which is unknown; {nearest(name, PREPROCESSOR_TYPES)}"
            )
        return name, PREPROCESSOR_TYPES[name]

    def _refuse_what_cannot_be_said(self) -> None:
        if self._flag("do_flip_channel_order", self.type.reverses_channels):
            raise self._error("requires the channels in the order blue, green, red, which is not done here.")
        if self._flag("do_split_image", False):
            raise self._error("cuts images into pieces, which is not done here.")
        if self.type.divides == "centred" and self._flag("do_pad", False) and self._value("size_divisor", None):
            raise self._error("pads images on all four sides to a multiple, which is not done here.")

    def _keeps_aspect_ratio(self) -> bool:
        return self._flag("do_resize", True) and self._flag("keep_aspect_ratio", False)

    def _sizes(self) -> dict[str, Any]:
        """The fields of `Processing` that resize, and the crop where it follows from the size."""
        if not self._flag("do_resize", True):
            return {}
        given = self._value("size", self.type.size)
        if given is None:
            if self._divisor() > 1 and self.name == "":
                return {}
            raise self._error("does not say the size of the images.")
        sides = self._standard_size() or {}
        keys = set(sides)
        if self._keeps_aspect_ratio() and keys != {"height", "width"}:
            raise self._error(f"keeps the aspect ratio, for which a size has height and width; it has {sides}.")
        if keys == {"height", "width"}:
            return {"size": (self._to_multiple(sides["height"]), self._to_multiple(sides["width"]))}
        if keys == {"max_height", "max_width"}:
            return {"max_size": (sides["max_height"], sides["max_width"])}
        if keys == {"longest_edge"}:
            return sides
        if keys not in ({"shortest_edge"}, {"shortest_edge", "longest_edge"}):
            raise self._error(
                f"has the size {sides}; known: height and width, shortest_edge alone or with longest_edge,"
                " max_height and max_width."
            )
        return self._by_shortest_edge(sides["shortest_edge"], sides.get("longest_edge"))

    def _by_shortest_edge(self, shortest: int, longest: int | None) -> dict[str, Any]:
        sizing = self.type.sizing
        if sizing == "levit":
            return {"shortest_edge": int(256 / 224 * shortest), "longest_edge": longest}
        if sizing == "poolformer":
            return {"shortest_edge": int(shortest / self._fraction(0.9)), "longest_edge": longest}
        if sizing == "convnext":
            # It cuts the centre out itself, from 384 pixels on it stretches the image instead.
            if shortest < 384:
                edge = int(shortest / self._fraction(224 / 256))
                crop = self._crop() or (shortest, shortest)
                return {"shortest_edge": edge, "longest_edge": longest, "crop": crop}
            return {"size": (shortest, shortest)}
        if longest == shortest:
            return {"longest_edge": longest}  # the shorter side is never reached
        return {"shortest_edge": shortest, "longest_edge": longest}

    def _from_old_size(self, given: Any) -> dict[str, int]:
        """As written before transformers 4.26: a number, or (width, height) as Pillow has it."""
        if isinstance(given, list) and len(given) == 2:
            return {"height": self._side("size", given[1]), "width": self._side("size", given[0])}
        side = self._side("size", given)
        bound = self._value("max_size", None)
        if bound is not None:
            return {"shortest_edge": side, "longest_edge": self._side("max_size", bound)}
        if self.type.one_side == "shortest_edge":
            return {"shortest_edge": side}
        return {"height": side, "width": side}

    def _to_multiple(self, side: int) -> int:
        if self._keeps_aspect_ratio():
            return side  # what is rounded then are the sides of each image
        multiple = self._multiple()
        return side if multiple == 1 else max(1, round(side / multiple)) * multiple

    def _multiple(self) -> int:
        return self._side("ensure_multiple_of", self._value("ensure_multiple_of", 1))

    def _crop(self) -> tuple[int, int] | None:
        if not self._flag("do_center_crop", self.type.crop is not None):
            return None
        crop = self._value("crop_size", self.type.crop)
        if crop is None:
            raise self._error("cuts the centre out of images, but does not say of which size (crop_size).")
        return self._pair("crop_size", crop)

    def _canvas(self) -> tuple[int, int] | None:
        given = self._value("pad_size", None)
        return self._pair("pad_size", given) if given is not None and self._flag("do_pad", True) else None

    def _divisor(self) -> int:
        if not self._flag("do_resize", True) or self.type.divides == "centred":
            return 1
        # Before transformers 4.27 it was called size_divisibility. Null and 0 switch it off.
        for key in ("size_divisor", "size_divisibility"):
            if key in self.fields:
                return self._side(key, self.fields[key] or 1)
        return self.type.size_divisor

    def _interpolation(self) -> Interpolation:
        number = self._value("resample", self.type.resample)
        if faults_of("resample", number, {"enum": list(_INTERPOLATIONS)}):
            raise self._error(
                f"resizes by method {shown(number)}; 0 nearest, 1 lanczos, 2 bilinear and 3 bicubic are known."
            )
        return _INTERPOLATIONS[number]

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the image in [0, 1], whatever range the file's are of."""
        mean, std = self._numbers("image_mean", self.type.mean), self._numbers("image_std", self.type.std)
        if len(mean) != len(std):
            raise self._error(f"has {len(mean)} numbers in image_mean and {len(std)} in image_std.")
        if any(number <= 0 for number in std):
            raise self._error(f"has image_std {list(std)}; every number must be above 0.")
        divisor = std
        if not self._flag("do_normalize", self.type.does_normalize):
            mean, std = (0.0,) * len(mean), (1.0,) * len(std)
        if self.name == "EfficientNet" and self._flag("include_top", True):
            # It divides once more, whether it normalises or not.
            std = tuple(number * again for number, again in zip(std, divisor, strict=True))
        offset = 1.0 if self._flag("rescale_offset", False) else 0.0
        scale = 255 * self._factor()
        if (scale == 1 and offset == 0) or self._range() is not None:
            return mean, std
        return tuple((number + offset) / scale for number in mean), tuple(number / scale for number in std)

    def _range(self) -> tuple[float, float] | None:
        """A key of ours: transformers' processors do the same without it, but take images of any values."""
        given = self._value(_RANGE, None)
        if given is None:
            return None
        if faults_of(_RANGE, given, {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}):
            raise self._error(
                f"has {_RANGE} {shown(given, quotes=False)}; the lowest and the highest value are expected."
            )
        return float(given[0]), float(given[1])

    def _factor(self) -> float:
        if not self._flag("do_rescale", True):
            return 1.0
        factor = self._value("rescale_factor", 1 / 255)
        if faults_of("rescale_factor", factor, _UP_TO_A_MILLION) or factor <= 0:
            raise self._error(f"has the rescale_factor {shown(factor)}; a number above 0 is expected.")
        return float(factor)

    def _choice(self, key: str, allowed: Sequence[Any]) -> Any:
        """Of a key of ours; the first one where it is absent."""
        given = self._value(key, allowed[0])
        if given not in allowed:
            raise self._error(f"has {key} {shown(given)}; {' or '.join(allowed)} is expected.")
        return given

    def _fraction(self, default: float) -> float:
        fraction = self._value("crop_pct", default)
        if faults_of("crop_pct", fraction, _FRACTION):
            raise self._error(f"has the crop_pct {shown(fraction)}; a number from 0.01 to 1 is expected.")
        return float(fraction)

    def _numbers(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        given = self._value(key, default)
        numbers = tuple(given) if isinstance(given, (list, tuple)) else (given,) * 3
        schema = {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": _MAX_CHANNELS}
        if faults_of(key, numbers, schema):
            raise self._error(f"has {key} {shown(given, quotes=False)}; one number for each channel is expected.")
        return tuple(float(number) for number in numbers)

    def _pair(self, key: str, given: Any) -> tuple[int, int]:
        """(height, width) of a mapping with these two, or of one number for both."""
        if isinstance(given, Mapping):
            return self._side(f"{key}.height", given.get("height")), self._side(f"{key}.width", given.get("width"))
        if isinstance(given, list) and len(given) == 2:
            return self._side(key, given[0]), self._side(key, given[1])
        side = self._side(key, given)
        return side, side

    def _side(self, key: str, given: Any) -> int:
        if faults_of(key, given, {"type": "integer", "minimum": 1, "maximum": _MAX_SIDE}):
            raise self._error(f"has {key} {shown(given)}; a whole number from 1 to {_MAX_SIDE:,} is expected.")
        return given

    def _flag(self, key: str, default: bool) -> bool:
        given = self._value(key, default)
        if not isinstance(given, bool):
            raise self._error(f"has {key} {shown(given)}; true or false is expected.")
        return given

    def _value(self, key: str, default: Any) -> Any:
        # Version 5 writes null for what is left to the class.
        given = self.fields.get(key)
        return default if given is None else given

    def _error(self, message: str) -> StorageError:
        return StorageError(f"{self.shown} {message}")
