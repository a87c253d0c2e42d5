"""Small data sets, written to a folder by the tests that read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]


def save_image(path: Path, size: tuple[int, int] = (20, 30), seed: int = 0) -> Path:
    """A PNG of noise. `size`: (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_array(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array, mode).save(path) if mode else Image.fromarray(array).save(path)
    return path


def coco(images: int = 2, annotations: list[dict[str, Any]] | None = None, **content: Any) -> dict[str, Any]:
    """The content of an annotation file: images a0.png, a1.png, ... of 20 x 30 pixels with the ids 10, 11, ..."""
    entries = [{"id": 10 + index, "file_name": f"a{index}.png", "height": 20, "width": 30} for index in range(images)]
    return {"images": entries, "annotations": annotations or [], "categories": CATEGORIES, **content}


def box(image: int = 10, category: int = 3, **extra: Any) -> dict[str, Any]:
    """An object at x 5, y 4 of 10 x 6 pixels."""
    return {"id": 1, "image_id": image, "category_id": category, "bbox": [5, 4, 10, 6], **extra}


def save_coco(root: Path, content: dict[str, Any], name: str = "train.json", images: str = ".") -> dict[str, Any]:
    """Writes the file and its images; returns the settings that read it."""
    (root / images).mkdir(parents=True, exist_ok=True)
    for entry in content["images"]:
        save_image(root / images / entry["file_name"], (entry.get("height", 20), entry.get("width", 30)), entry["id"])
    (root / name).write_text(json.dumps(content))
    return {"name": "coco", "root": str(root), "train": name, "train_images": images}
