"""Schema versions of recipes: a recipe of an older version becomes one of the current version before it is checked.

Version 2 named counts `num_x` and widths `x_channels`, in every neck, head and criterion.
"""

import re
from collections.abc import Mapping
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.recipe.recipe import SCHEMA_VERSION
from backbonekit.registry.lookup import is_known
from backbonekit.registry.table import default_criterion

_TRANSFORMER = {"layers": "num_layers", "heads": "num_heads", "feedforward": "feedforward_channels"}
_DEFORMABLE = {**_TRANSFORMER, "points": "num_points"}
_REGIONS = {
    "proposals": "num_proposals",
    "proposals_in_training": "num_proposals_in_training",
    "detections": "max_detections",
    "feedforward": "feedforward_channels",
}
_BINS = {"bins": "num_bins", "quality_bins": "num_quality_bins", "quality_layers": "num_quality_layers"}
_DENOISING = {"denoising_queries": "num_denoising_queries"}
_EXTRA = {"extra_levels": "num_extra_levels"}
_DEEPEST = {"deepest": "num_deepest_levels"}

_RELEASE = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,40}")

# (kind, name of the part) -> {option in version 1: option in version 2}
RENAMED_IN_2: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("neck", "bifpn"): {**_EXTRA, "repeats": "num_repeats"},
    ("neck", "channel_mapper"): _EXTRA,
    ("neck", "deformable_encoder"): _DEFORMABLE,
    ("neck", "deformable_pixel_decoder"): {**_DEFORMABLE, **_DEEPEST, "encoded": "num_encoded_levels"},
    ("neck", "fpn"): _EXTRA,
    ("neck", "fpn_pixel_decoder"): _DEEPEST,
    ("neck", "hybrid_encoder"): {**_TRANSFORMER, "levels": "num_levels", "blocks": "num_blocks"},
    ("neck", "pafpn"): _EXTRA,
    ("neck", "transformer_encoder"): _TRANSFORMER,
    ("head", "classification"): {"attention_heads": "num_heads"},
    ("head", "d_fine"): {**_DEFORMABLE, **_BINS, **_DENOISING},
    ("head", "deformable_detr"): {**_DEFORMABLE, **_DEEPEST},
    ("head", "detr"): _TRANSFORMER,
    ("head", "faster_rcnn"): _REGIONS,
    ("head", "fcos"): {"convolutions": "num_convolutions"},
    ("head", "linear_probe"): {"levels": "num_levels"},
    ("head", "mask2former"): {**_TRANSFORMER, "levels": "num_levels"},
    ("head", "mask_rcnn"): _REGIONS,
    ("head", "maskformer"): _TRANSFORMER,
    ("head", "retinanet"): {"convolutions": "num_convolutions"},
    ("head", "rt_detr"): {**_DEFORMABLE, **_DENOISING},
    ("head", "unet"): {"finest": "finest_stride"},
    ("head", "upernet"): {**_DEEPEST, "auxiliary_level": "auxiliary_level_index"},
    ("criterion", "metric_depth"): {"scales": "num_scales"},
    ("criterion", "point_mask_set"): {"points": "num_points"},
    ("criterion", "relative_depth"): {"scales": "num_scales"},
}


def in_current_schema(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data in the current schema; unchanged where it has no `schema_version`, which means the current one.

    An unknown version stays as it is, for `version_fault` to report; so does everything that is no recipe.
    """
    if not _is_version(recipe.get("schema_version"), 1):
        return dict(recipe)
    lifted = {**_with_parts_renamed(recipe), "schema_version": 2}
    if isinstance(recipe.get("heads"), dict):
        lifted["heads"] = {
            task: _with_parts_renamed(parts) if isinstance(parts, dict) else parts
            for task, parts in recipe["heads"].items()
        }
    return lifted


def version_fault(version: Any) -> str | None:
    """What is wrong with a `schema_version`, or None where it is the current one."""
    if _is_version(version, SCHEMA_VERSION):
        return None
    known = " and ".join(str(number) for number in range(1, SCHEMA_VERSION + 1))
    fault = f"schema_version: given {shown(version)}, this version of backbonekit reads {known}"
    if _is_newer(version):
        return f"{fault}. The fix: upgrade backbonekit (pip install --upgrade backbonekit)."
    return f"{fault}. The fix: schema_version: {SCHEMA_VERSION}."


def newer_version_fault(version: Any, packed: Any) -> str | None:
    """What to install for a saved recipe of a later version; None for any other. `packed`: the block in which it says
    which backbonekit saved it."""
    if not _is_newer(version):
        return None
    saved_by = packed.get("backbonekit") if isinstance(packed, Mapping) else None
    if not isinstance(saved_by, str) or not _RELEASE.fullmatch(saved_by):
        return version_fault(version)
    return (
        f"schema_version: given {version}, this version of backbonekit reads 1 to {SCHEMA_VERSION}. It was saved by "
        f"backbonekit {saved_by}. The fix: pip install 'backbonekit>={saved_by}'."
    )


def _is_newer(version: Any) -> bool:
    return isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION


def new_name(kind: str, part: str, option: str) -> str | None:
    """The current name of an option that a part had under this name in an older version, or None."""
    return RENAMED_IN_2.get((kind, part), {}).get(option)


def _with_parts_renamed(holder: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe or one of its tasks, with the options of its necks, its head and its criterion renamed."""
    renamed = dict(holder)
    if "neck" in holder:
        neck = holder["neck"]
        renamed["neck"] = (
            [_renamed("neck", item) for item in neck] if isinstance(neck, list) else _renamed("neck", neck)
        )
    if "head" in holder:
        renamed["head"] = _renamed("head", holder["head"])
    return renamed


def _renamed(kind: str, part: Any, default_name: str | None = None) -> Any:
    if not isinstance(part, dict):
        return part
    name = part.get("name", default_name)
    if not isinstance(name, str):
        return part
    names = RENAMED_IN_2.get((kind, name), {})
    # Where both names are given, the old one stays and is reported.
    renamed = {(key if names.get(key, key) in part else names.get(key, key)): value for key, value in part.items()}
    if kind == "head" and "criterion" in part:
        own = default_criterion(name) if is_known("head", name) else None
        renamed["criterion"] = _renamed("criterion", part["criterion"], own)
    return renamed


def _is_version(given: Any, version: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given == version
