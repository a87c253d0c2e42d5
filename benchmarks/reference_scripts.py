"""One epoch as torchvision's reference scripts for detection and segmentation train: their data sets, transforms, order
and loop.

Source: github.com/pytorch/vision `references/detection`, `references/segmentation`: train.py, engine.py, presets.py.
"""

import bisect
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RATIOS = [2 ** (step / 3) for step in range(-3, 4)]  # borders between the groups of aspect ratios
_IGNORED = 255
_LR, _MOMENTUM, _DECAY = 1e-4, 0.9, 1e-4


class _Boxes(Dataset):
    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / "train.json").read_text())
        self.folder = folder
        self.images = content["images"]
        self.objects = defaultdict(list)
        for one in content["annotations"]:
            self.objects[one["image_id"]].append(one)
        self.transform = v2.Compose([v2.RandomHorizontalFlip(), v2.PILToTensor(), v2.ToDtype(torch.float, scale=True)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        noted = self.images[index]
        image = Image.open(self.folder / noted["file_name"]).convert("RGB")
        objects = self.objects[noted["id"]]
        boxes = torch.as_tensor([one["bbox"] for one in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(noted["height"], noted["width"])),
            "labels": torch.tensor([one["category_id"] for one in objects]),
        }
        return self.transform(image, target)


class _ByAspectRatio(Sampler):
    """Batches of images whose aspect ratios are alike, in random order."""

    def __init__(self, images: list[dict[str, Any]], batch: int) -> None:
        self.groups = [bisect.bisect_right(_RATIOS, one["width"] / one["height"]) for one in images]
        self.batch = batch

    def __len__(self) -> int:
        return len(self.groups) // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        waiting = defaultdict(list)
        made = 0
        for index in torch.randperm(len(self.groups)).tolist():
            group = waiting[self.groups[index]]
            group.append(index)
            if len(group) == self.batch:
                yield list(group)
                made += 1
                group.clear()
        # The rest of each group is filled up with images of its own until the epoch has its number of batches.
        for group in sorted(waiting, key=lambda one: -len(waiting[one])):
            if made < len(self) and waiting[group]:
                members = [index for index, one in enumerate(self.groups) if one == group]
                yield (waiting[group] + members * self.batch)[: self.batch]
                made += 1


def detection_loader(folder: Path, batch: int, workers: int) -> DataLoader:
    images = _Boxes(folder)
    sampler = _ByAspectRatio(images.images, batch)
    return DataLoader(images, batch_sampler=sampler, num_workers=workers, collate_fn=_pairs)


def _pairs(samples: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


def train_detector(model: Any, loader: Callable[[], DataLoader]) -> None:
    model.train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=_LR, momentum=_MOMENTUM, weight_decay=_DECAY)
    for images, targets in loader():
        losses = model(list(images), [dict(target) for target in targets])
        loss = sum(losses.values())
        assert math.isfinite(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class _Maps(Dataset):
    def __init__(self, folder: Path, base: int, crop: int) -> None:
        self.images = sorted((folder / "images").iterdir())
        self.maps = sorted((folder / "maps").iterdir())
        fill = {Image.Image: 0, tv_tensors.Image: 0, tv_tensors.Mask: _IGNORED}
        self.transform = v2.Compose(
            [
                v2.RandomResize(min_size=base // 2, max_size=2 * base),
                v2.RandomHorizontalFlip(),
                v2.RandomCrop((crop, crop), pad_if_needed=True, fill=fill),
                v2.ToDtype({tv_tensors.Image: torch.float, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
                v2.Normalize(_MEAN, _STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.open(self.images[index]).convert("RGB")
        classes = v2.functional.pil_to_tensor(Image.open(self.maps[index]))[0]
        return self.transform(tv_tensors.Image(image), tv_tensors.Mask(classes))


def segmentation_loader(folder: Path, batch: int, workers: int, base: int, crop: int) -> DataLoader:
    images = _Maps(folder, base, crop)
    return DataLoader(images, batch, sampler=RandomSampler(images), num_workers=workers, drop_last=True)


def train_segmenter(model: Any, loader: Callable[[], DataLoader]) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=_LR, momentum=_MOMENTUM, weight_decay=_DECAY)
    for images, maps in loader():
        output = model(images)
        loss, auxiliary = (functional.cross_entropy(output[key], maps, ignore_index=_IGNORED) for key in ("out", "aux"))
        loss = loss + 0.5 * auxiliary
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # which the script logs
