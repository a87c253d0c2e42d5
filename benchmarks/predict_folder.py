"""(j) `predict` of a folder with MaskFormer and a ResNet-50, random weights of one checkpoint, against transformers'
image-segmentation pipeline: from files to semantic maps in the images' own sizes."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import backbonekit as bk
from backbonekit.assembly.predict import predict_each
from benchmarks.folders import photographs
from benchmarks.measure import Row, compare

IMAGES = 100


def run(images: int = IMAGES, repeats: int = 1) -> list[Row]:
    from transformers import (
        MaskFormerConfig,
        MaskFormerForInstanceSegmentation,
        MaskFormerImageProcessor,
        ResNetConfig,
        pipeline,
    )

    with tempfile.TemporaryDirectory() as folder:
        files = photographs(Path(folder), images)
        saved = Path(folder) / "model"
        backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
        theirs = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=backbone, num_labels=150)).eval()
        processor = MaskFormerImageProcessor(size={"shortest_edge": 512, "longest_edge": 1333}, size_divisor=32)
        theirs.save_pretrained(saved)
        processor.save_pretrained(saved)
        ours = bk.load_model(saved)
        segmenter = pipeline("image-segmentation", model=theirs, image_processor=processor)
        calls = partial(_ours, ours, files), partial(_theirs, segmenter, files)
        return [compare(f"(j) predict of {images} images, MaskFormer", *calls, repeats=repeats, aim=0.9)]


def _ours(model: Any, files: list[Path]) -> None:
    for _ in predict_each(model, files, task="semantic"):
        pass


def _theirs(segmenter: Any, files: list[Path]) -> None:
    for file in files:
        segmenter(str(file), subtask="semantic")
