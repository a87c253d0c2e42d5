"""Files that an epoch reads: photographs with boxes in COCO's format, or with a map of classes beside each."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.folders import photographs

CLASSES = 21  # of the maps
CATEGORIES = 80  # of the boxes
_OBJECTS = 7  # an image of COCO has as many
_COARSE = 32  # pixels a patch of one class


def write_boxes(folder: Path, count: int) -> Path:
    """`train.json` beside the images that it describes."""
    folder.mkdir()
    generator = np.random.default_rng(1)
    images, objects = [], []
    for number, file in enumerate(photographs(folder, count)):
        with Image.open(file) as image:
            width, height = image.size
        images.append({"id": number, "file_name": file.name, "height": height, "width": width})
        for _ in range(_OBJECTS):
            sides = generator.uniform(0.1, 0.5, 2) * (width, height)
            corner = generator.uniform(0, 1, 2) * ((width, height) - sides)
            box = [round(float(one), 2) for one in (*corner, *sides)]
            category = int(generator.integers(1, CATEGORIES + 1))
            area = box[2] * box[3]
            one = {"id": len(objects), "image_id": number, "bbox": box, "category_id": category, "area": area}
            objects.append({**one, "iscrowd": 0})
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, CATEGORIES + 1)]
    text = json.dumps({"images": images, "annotations": objects, "categories": categories})
    (folder / "train.json").write_text(text)
    return folder


def write_maps(folder: Path, count: int) -> Path:
    """`images/NAME.jpg` and `maps/NAME.png`."""
    for name in ("images", "maps"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(2)
    for file in photographs(folder / "images", count):
        with Image.open(file) as image:
            size = image.size
        coarse = generator.integers(0, CLASSES, (size[1] // _COARSE, size[0] // _COARSE), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST).save(folder / "maps" / f"{file.stem}.png")
    return folder
