"""A COCO file with crowds and category ids of its own, and results: as tensors, and as pycocotools scores them.

It was drawn at random once: ellipses of three sizes, their boxes, and results near them.
"""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import InstanceResult, KeypointResult
from backbonekit.image_processing.coco import object_mask

PERSON = 18  # the only category with keypoints
CASE = json.loads((Path(__file__).parent / "coco_case.json").read_text())
IDS = [category["id"] for category in CASE["categories"]]
LABELS = Labels(tuple(category["name"] for category in CASE["categories"]), category_ids=tuple(IDS))


def objects_of(image: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in CASE["annotations"] if one["image_id"] == image["id"]]


def found_in(image: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in CASE["results"] if one["image_id"] == image["id"]]


def boxes_of(entries: list[dict[str, Any]]) -> torch.Tensor:
    boxes = torch.tensor([one["bbox"] for one in entries], dtype=torch.float64).reshape(-1, 4)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1).float()


def masks_of(entries: list[dict[str, Any]], image: dict[str, Any]) -> torch.Tensor:
    size = (image["height"], image["width"])
    masks = [object_mask(one["segmentation"], size) for one in entries]
    return torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool)


def target_of(image: dict[str, Any]) -> dict[str, torch.Tensor]:
    entries = objects_of(image)
    return {
        "labels": torch.tensor([IDS.index(one["category_id"]) for one in entries], dtype=torch.int64),
        "boxes": boxes_of(entries),
        "masks": masks_of(entries, image),
        "iscrowd": torch.tensor([one["iscrowd"] for one in entries]),
        "area": torch.tensor([one["area"] for one in entries], dtype=torch.float64),
    }


def result_of(image: dict[str, Any]) -> InstanceResult:
    entries = found_in(image)
    return InstanceResult(
        labels=torch.tensor([IDS.index(one["category_id"]) for one in entries], dtype=torch.int64),
        scores=torch.tensor([one["score"] for one in entries]),
        boxes_xyxy=boxes_of(entries),
        masks=masks_of(entries, image),
    )


def people() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Images with people that are no crowd, and one result for each of them: it, slightly moved."""
    random = np.random.default_rng(0)
    pairs = []
    for image in CASE["images"]:
        results = []
        for one in objects_of(image):
            if one["category_id"] == PERSON and not one["iscrowd"]:
                points = np.array(one["keypoints"], np.float64).reshape(-1, 3)
                points[:, :2] += random.normal(0, 0.07, points[:, :2].shape) * one["bbox"][2]
                points[:, 2] = 1
                score = round(float(random.random()), 3)
                keypoints = points.round(1).ravel().tolist()
                results.append({"image_id": image["id"], "category_id": PERSON, "keypoints": keypoints, "score": score})
        pairs.append((image, results))
    return pairs


def keypoint_target(image: dict[str, Any]) -> dict[str, torch.Tensor]:
    entries = [one for one in objects_of(image) if one["category_id"] == PERSON]
    return {
        "labels": torch.zeros(len(entries), dtype=torch.int64),
        "boxes": boxes_of(entries),
        "keypoints": torch.tensor([one["keypoints"] for one in entries]).reshape(len(entries), 17, 3).float(),
        "iscrowd": torch.tensor([one["iscrowd"] for one in entries]),
        "area": torch.tensor([one["area"] for one in entries], dtype=torch.float64),
    }


def keypoint_results(results: list[dict[str, Any]]) -> list[KeypointResult]:
    points = [torch.tensor(one["keypoints"]).reshape(-1, 3)[:, :2] for one in results]
    return [
        KeypointResult(one, torch.full((len(one),), result["score"]))
        for one, result in zip(points, results, strict=True)
    ]


def reference(kind: str, results: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> np.ndarray:
    """pycocotools' statistics: AP, AP50, AP75, by size, AR by number, by size; -1 where undefined."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    given = copy.deepcopy({"info": {}, "images": CASE["images"], "categories": CASE["categories"]})
    with contextlib.redirect_stdout(io.StringIO()):
        expected = COCO()
        expected.dataset = {**given, "annotations": copy.deepcopy(annotations)}
        expected.createIndex()
        evaluator = COCOeval(expected, expected.loadRes(copy.deepcopy(results)), kind)
        if kind == "keypoints":
            evaluator.params.catIds = [PERSON]
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats
