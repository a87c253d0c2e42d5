"""Results as COCO-style JSON, with label maps as PNG beside it."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backbonekit.contract.labels import Labels, LabelsByTask, category_id_of, labels_of
from backbonekit.contract.results import Result
from backbonekit.postprocessing.result_kinds import kind_of
from backbonekit.postprocessing.writing import write_file

_OWN_IDS = "category_id is the id in labels.category_ids of its recipe."
_INDICES = "category_id is the index of the class, from 0; labels.category_ids in the recipe writes other ids."


class CocoResults:
    """Collects results and writes them: `images`, `categories` and `annotations`, as in COCO's own files.

    `category_id`: the user's own, where `labels` has category ids; else the index of the class, from 0, and `info` says
    which. Semantic maps have the same numbers as pixels. `categories`: every class that has a name or was found.
    Things: `image_id`, `category_id`, `bbox` (x, y, width, height), `score`, and
    `segmentation` in compressed run lengths where there are masks. Panoptic and semantic: one entry an image with
    `file_name` of a PNG in the folder `NAME_maps` and, for panoptic, `segments_info`. With one class the PNG has 1
    where it is and 0 elsewhere, and `segments_info` the class of 1. No class: 255, in 16 bits 65535. Depth: a 16-bit
    PNG with depth = offset + scale * value. Classes: one entry each, with `score`. Keypoints: one entry a person,
    `keypoints` as x, y, 2 for each that was found and 0, 0, 0 for each that was not, and the mean `score` of those
    found. Where `labels` are those of each of several tasks, a category says which `task` it is of, as an annotation
    does; the ids of two tasks may be the same.
    """

    def __init__(self, path: str | Path | None, labels: Labels | LabelsByTask | None = None) -> None:
        """`path`: None for `content` alone, which names no maps."""
        self.path = None if path is None else Path(path)
        self.labels = labels
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(
        self, name: str, size: tuple[int, int], result: Result | dict[str, Result], *, image_id: int | None = None
    ) -> None:
        """`name`: the image's file name. `size`: its (height, width). `image_id`: None: one more than there are images.
        Label maps are written at once."""
        image_id = len(self.images) + 1 if image_id is None else image_id
        self.images.append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        for task, one in (result if isinstance(result, dict) else {"": result}).items():
            stem = f"{image_id:06d}_{Path(name).stem}" + (f"_{task}" if task else "")
            for entry in kind_of(one).entries(one, labels_of(self.labels, task), partial(self._beside, stem)):
                named = {"task": task} if task else {}
                known = {key: value for key, value in entry.items() if key != "file_name" or value}
                if len(known) < len(entry) and "segments_info" not in known:
                    continue  # the map is all of it, and is not written
                self.annotations.append({"id": len(self.annotations) + 1, "image_id": image_id, **named, **known})

    def extend(self, images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]]) -> None:
        """Adds what another collection of other images has; annotations are numbered on."""
        self.images += images
        numbers = range(len(self.annotations) + 1, len(self.annotations) + len(annotations) + 1)
        self.annotations += [{**one, "id": number} for one, number in zip(annotations, numbers, strict=True)]

    def write(self) -> None:
        """Replaces the JSON file in one step. Raises StorageError.

        A file that ends in `.jsonl` has one line for each image instead: its entry, with its `annotations`.
        """
        assert self.path is not None
        if self.path.suffix.lower() == ".jsonl":
            of_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self.images}
            for annotation in self.annotations:
                of_image[annotation["image_id"]].append(annotation)
            lines = [{**image, "annotations": of_image[image["id"]]} for image in self.images]
            write_file(self.path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())
            return
        write_file(self.path, json.dumps(self.content(), allow_nan=False).encode())

    def content(self) -> dict[str, Any]:
        """Plain data: what `write` writes."""
        given = self.labels.values() if isinstance(self.labels, Mapping) else [self.labels]
        own = any(one is not None and one.category_ids is not None for one in given)
        return {
            "info": {"description": f"Results of a backbonekit model. {_OWN_IDS if own else _INDICES}"},
            "images": self.images,
            "categories": self._every_category(),
            "annotations": self.annotations,
        }

    def _beside(self, stem: str, content: bytes) -> str:
        """The map's file name; empty where there is no file to lie beside."""
        if self.path is None:
            return ""
        maps = self.path.with_name(f"{self.path.stem}_maps")
        write_file(maps / f"{stem}.png", content)
        return f"{maps.name}/{stem}.png"

    def _every_category(self) -> list[dict[str, Any]]:
        if not isinstance(self.labels, Mapping):
            return _categories(self.labels, self.annotations)
        return [
            {**category, "task": task}
            for task, labels in self.labels.items()
            for category in _categories(labels, [one for one in self.annotations if one.get("task") == task])
        ]


def _categories(labels: Labels | None, annotations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every class that has a name, and those without one that the annotations have."""
    names, things = ((), None) if labels is None else (labels.names, labels.things)
    categories: list[dict[str, Any]] = [
        {
            "id": category_id_of(labels, number),
            "name": name,
            **({} if things is None else {"isthing": int(number in things)}),
        }
        for number, name in enumerate(names)
    ]
    named = {category["id"] for category in categories}
    entries = [one for entry in annotations for one in (entry, *entry.get("segments_info", ()))]
    found = {entry["category_id"] for entry in entries if "category_id" in entry}
    return [*categories, *({"id": number, "name": str(number)} for number in sorted(found - named))]
