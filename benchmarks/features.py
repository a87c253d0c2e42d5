"""(i) Features of a folder of JPEG files, from decoding to vectors: DINOv2-S and ResNet-50 with random weights.

Against transformers' image-feature-extraction pipeline with batches, a plain loop over timm's model with a DataLoader,
and the floor: the same batches through the model alone, prepared beforehand. Every side has two threads or workers
beside torch's own.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import backbonekit as bk
from backbonekit.inference.feature_rows import feature_rows
from benchmarks.folders import photographs
from benchmarks.measure import Row, compare

IMAGES = 500
BATCH = 32
WORKERS = 2


def run(images: int = IMAGES, repeats: int = 3) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = photographs(Path(folder), images)
        for name, pair, architecture in (
            ("DINOv2-S", _dinov2, "vit_small_patch14_dinov2"),
            ("ResNet-50", _resnet, "resnet50"),
        ):
            ours, theirs, pool = pair()
            call = partial(feature_rows, ours, files, pool=pool, dtype=torch.float32, batch_size=BATCH, workers=WORKERS)
            others = {
                "pipeline of transformers": (partial(_through_pipeline, _pipeline(theirs, ours), files), 0.8),
                "timm and a DataLoader": (
                    partial(_through_loader, _timm_model(architecture), files, ours.processor),
                    1.0,
                ),
                "the forward alone": (partial(_forward_alone, ours, _batches(ours.processor, files)), None),
            }
            for other, (their_call, aim) in others.items():
                about = f"(i) features of {images} images, {name}: ours / {other}"
                rows.append(compare(about, call, their_call, repeats=repeats, aim=aim))
    return rows


def _dinov2() -> tuple[Any, Any, str]:
    from transformers import Dinov2Config, Dinov2Model

    fields = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
    config = {"model_type": "dinov2", **fields}
    ours = bk.build_model({"backbone": {"source": "hf", "config": config}})
    return ours, Dinov2Model(Dinov2Config(**fields)).eval(), "cls"


def _resnet() -> tuple[Any, Any, str]:
    from transformers import ResNetConfig, ResNetModel

    return bk.build_model({"backbone": {"source": "hf", "config": {"model_type": "resnet"}}}), ResNetModel(
        ResNetConfig()
    ).eval(), "mean"  # fmt: skip


def _pipeline(model: Any, ours: Any) -> Any:
    from transformers import BitImageProcessor, pipeline

    processing = ours.processor.processing
    size = processing.size or processing.crop
    processor = BitImageProcessor(size={"shortest_edge": processing.shortest_edge or size[0]}, crop_size=size)
    return pipeline("image-feature-extraction", model=model, image_processor=processor, batch_size=BATCH)


def _through_pipeline(pipeline: Any, files: list[Path]) -> None:
    for _ in pipeline([str(file) for file in files], num_workers=WORKERS):
        pass


class _Files(Dataset):
    def __init__(self, files: list[Path], transform: Any) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


def _timm_model(name: str) -> Any:
    import timm

    return timm.create_model(name, num_classes=0, **({"img_size": 224} if name.startswith("vit") else {})).eval()


def _through_loader(model: Any, files: list[Path], processor: Any) -> None:
    from timm.data import create_transform

    transform = create_transform((3, 224, 224), interpolation=processor.processing.interpolation, crop_pct=0.875)
    with torch.inference_mode():
        for batch in DataLoader(_Files(files, transform), batch_size=BATCH, num_workers=WORKERS):
            model(batch)


def _batches(processor: Any, files: list[Path]) -> list[torch.Tensor]:
    return [processor(files[start : start + BATCH])["pixel_values"] for start in range(0, len(files), BATCH)]


def _forward_alone(model: Any, batches: list[torch.Tensor]) -> None:
    with torch.inference_mode():
        for batch in batches:
            model.extract(batch)
