"""One epoch with the Trainer of transformers: of any model that returns a loss."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2


def train_with_trainer(model: Any, images: Any, collate: Callable[[Any], Any], batch: int, workers: int) -> None:
    from transformers import Trainer, TrainingArguments

    class LossTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            output = model(**inputs)
            return (output.loss, output) if return_outputs else output.loss

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            weight_decay=1e-4,
            max_grad_norm=0.1,
            dataloader_num_workers=workers,
            dataloader_drop_last=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        LossTrainer(model, arguments, train_dataset=images, data_collator=collate).train()


def boxes_for_transformers(folder: Path, edge: int) -> tuple[Dataset, Callable[[Any], Any]]:
    """Images and targets from transformers' own processor, which its example prepares each image with alone, and its
    collate.

    Source: github.com/huggingface/transformers `examples/pytorch/object-detection/run_object_detection.py`.
    """
    return _Processed(folder, edge), _stack


class _Processed(Dataset):
    def __init__(self, folder: Path, edge: int) -> None:
        from transformers import RTDetrImageProcessor

        content = json.loads((folder / "train.json").read_text())
        self.folder = folder
        self.images = content["images"]
        self.objects = defaultdict(list)
        for one in content["annotations"]:
            self.objects[one["image_id"]].append({**one, "category_id": one["category_id"] - 1})
        self.flip = v2.RandomHorizontalFlip()
        self.processor = RTDetrImageProcessor(size={"height": edge, "width": edge})

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        noted = self.images[index]
        image = Image.open(self.folder / noted["file_name"]).convert("RGB")
        objects = self.objects[noted["id"]]
        boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float32).reshape(-1, 4)
        size = (noted["height"], noted["width"])
        image, boxes = self.flip(image, tv_tensors.BoundingBoxes(boxes, format="XYWH", canvas_size=size))  # type: ignore[call-overload]
        moved = [{**one, "bbox": box} for one, box in zip(objects, boxes.tolist(), strict=True)]
        annotations = {"image_id": noted["id"], "annotations": moved}
        return self.processor(images=image, annotations=annotations, return_tensors="pt")


def _stack(samples: list[Any]) -> dict[str, Any]:
    return {
        "pixel_values": torch.cat([sample["pixel_values"] for sample in samples]),
        "labels": [sample["labels"][0] for sample in samples],
    }
