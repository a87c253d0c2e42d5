"""Whether targets are what a model learns from: their keys and types. Values are checked by `target_values.py`.

No value is read here, so that nothing waits for an accelerator.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from backbonekit.contract.targets import (
    PER_OBJECT_KEYS,
    RECORD_KEYS,
    TARGET_KEYS,
    Reads,
    TargetReader,
    Targets,
    own_key,
)
from backbonekit.errors import ContractError, nearest

_WHOLE = ("labels", "segmentation")  # `class` may be floats, 0 and 1 for each class
_COCO = "From COCO: bk.coco_targets(annotations, categories)."
_PROCESSOR = "`model.processor(images, targets)` reads that format."
# What other libraries call it, and what to do.
_FOREIGN = {
    "bbox": _COCO,
    "bboxes": _COCO,
    "annotations": _COCO,
    "category_id": _COCO,
    "class_labels": f"transformers' name for labels; {_PROCESSOR}",
    "mask_labels": f"transformers' name for masks; {_PROCESSOR}",
    "mask": "The fix: segmentation, the class of each pixel [height, width]; or masks, one for each object.",
    "label": "The fix: class for the class of an image, labels for those of objects.",
    "class_id": "The fix: labels.",
    "semseg": "The fix: segmentation.",
}


def check_targets(targets: Targets, batch: int, readers: Sequence[TargetReader]) -> None:
    """Raises ContractError unless `targets` are one mapping of known keys to tensors for each of the `batch` images,
    and at least one of `readers` finds all its keys in at least one of them.

    A key that no reader reads is allowed beside those that one does, since a data set may serve several tasks.
    """
    if len(targets) != batch:
        raise ContractError(f"{len(targets)} targets for {batch} images; give one dict an image.")
    for index, target in enumerate(targets):
        check_keys(target, index, readers)
        for key, value in target.items():
            if key not in RECORD_KEYS and not isinstance(value, Tensor):
                raise ContractError(
                    f"targets[{index}]: {key!r} is of type {type(value).__name__}, and the model takes tensors. "
                    "The fix: model(**model.processor(images, targets)), which reads NumPy arrays, lists and Pillow."
                )
            if str(key).rpartition(".")[2] in _WHOLE and isinstance(value, Tensor) and value.is_floating_point():
                raise ContractError(
                    f"targets[{index}]: {key!r} is of {value.dtype}; a class is a whole number (int64). The fix: "
                    f"{key}.long(), where its numbers are whole."
                )
    if not readers:
        return
    used = [_used(target, readers) for target in targets]
    for index, target in enumerate(targets):
        check_complete(target, index, used[index], readers)
    if not any(used):
        given = sorted({key for target in targets for key in target})
        of_objects = any(key in PER_OBJECT_KEYS for one in readers for keys in one.reads for key in keys)
        raise ContractError(
            f"none of the {len(targets)} targets has what the model learns from: {_described(readers)}; "
            f"given: {_listed(given) or 'nothing'}."
            + (" An image without objects has these keys with no entries: labels of shape [0]." if of_objects else "")
        )


def check_keys(target: Mapping[str, Any], index: int, readers: Sequence[TargetReader]) -> None:
    """Raises ContractError for a key that is in no contract and that no reader declares."""
    if not isinstance(target, Mapping):
        raise ContractError(
            f"targets[{index}] is of type {type(target).__name__}; the model takes one dict an image. The fix: "
            f"model(**model.processor(images, targets)), or for COCO's annotations bk.coco_targets."
        )
    for key in target:
        if key in TARGET_KEYS or key in RECORD_KEYS or any(_is_read(key, one) for one in readers):
            continue
        declared = {name for one in readers for keys in one.reads for name in keys}
        hint = _FOREIGN.get(key) or nearest(str(key), declared or TARGET_KEYS).capitalize()
        what = f"{_described(readers)}; " if readers else ""
        raise ContractError(f"targets[{index}]: {what}{key!r} is not read. {hint}")


def check_complete(
    target: Mapping[str, Any], index: int, used: frozenset[str], readers: Sequence[TargetReader]
) -> None:
    """Raises ContractError for a key that would be read if another one were there, as boxes without labels."""
    for one in readers:
        if any(all(one.key_in(target, key) in target for key in keys) for keys in one.reads):
            continue
        for keys in one.reads:
            present = [key for key in (one.key_in(target, name) for name in keys) if key in target]
            unused = [key for key in present if key not in used]
            if unused:
                missing = [key for key in keys if one.key_in(target, key) not in target]
                raise ContractError(
                    f"targets[{index}] has {_listed(unused)} and no {_listed(missing)}: {_described(readers)}."
                )


def _used(target: Mapping[str, Any], readers: Sequence[TargetReader]) -> frozenset[str]:
    """The keys of every alternative that is complete."""
    complete = [
        [one.key_in(target, name) for name in keys]
        for one in readers
        for keys in one.reads
        if all(one.key_in(target, name) in target for name in keys)
    ]
    return frozenset(key for keys in complete for key in keys)


def _is_read(key: str, reader: TargetReader) -> bool:
    """Whether a reader declares the key, as its own or as that of all tasks."""
    return any(key in (name, own_key(reader.task, name)) for keys in reader.reads for name in keys)


def _described(readers: Sequence[TargetReader]) -> str:
    """ "fcos reads boxes (x0, y0, x1, y1 in pixels) and labels"."""
    return "; ".join(f"{one.name} reads {described(one.reads)}" for one in readers)


def described(reads: Reads) -> str:
    """The keys in words, with the format of those that have one."""
    return ", or ".join(_listed(map(_shown, keys)) for keys in reads) or "no targets"


def _shown(key: str) -> str:
    brief = TARGET_KEYS[key].brief if key in TARGET_KEYS else ""
    return f"{key} ({brief})" if brief else key


def _listed(words: Iterable[str]) -> str:
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
