"""For each model an epoch of ours and of other loops, on the same files in the same sizes with the same learning."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import backbonekit as bk
from backbonekit.data import AugmentedSplit, open_augmentation, open_data
from backbonekit.data.training_size import training_processor
from backbonekit.lightning import DataModule, Module
from backbonekit.lightning.csv_log import CsvLog
from backbonekit.lightning.engine_settings import engine_arguments
from backbonekit.lightning.reseeding import Reseeding
from backbonekit.recipe.experiment_settings import TrainerSettings
from benchmarks.epoch_data import CATEGORIES, CLASSES
from benchmarks.reference_scripts import detection_loader, segmentation_loader, train_detector, train_segmenter
from benchmarks.trainer import boxes_for_transformers, train_with_trainer

WORKERS = 2
EDGE, LONGEST = 320, 427  # pixels, of the detectors
BASE, CROP = 260, 240  # half of torchvision's, of the segmenter
_SGD = {"optimiser": "sgd", "lr": 1e-4, "weight_decay": 1e-4, "schedule": "constant"}
_ADAMW = {"lr": 1e-4, "weight_decay": 1e-4, "schedule": "constant", "clip_norm": 0.1}
Epochs = dict[str, Callable[[], Any]]


def retinanet(data: Path, batch: int) -> Epochs:
    """RetinaNet with a ResNet-50, frozen as torchvision's reference has it: norms, stem and first stage."""
    from torchvision.models import detection, resnet50
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.ops import FrozenBatchNorm2d
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    theirs = detection.RetinaNet(
        _resnet_fpn_extractor(
            resnet50(norm_layer=FrozenBatchNorm2d), 3, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256)
        ),
        CATEGORIES + 1,
        min_size=EDGE,
        max_size=LONGEST,
    )
    sizes = [f"processing.shortest_edge={EDGE}", f"processing.longest_edge={LONGEST}", f"head.num_classes={CATEGORIES}"]
    ours = bk.build_model("retinanet_resnet50_fpn", sizes)
    reference = partial(train_detector, theirs, partial(detection_loader, data, batch, WORKERS))
    flip = [{"name": "horizontal_flip"}]
    return {
        "ours": partial(_epoch, ours, _boxes(data), flip, _SGD, batch, group_shapes=True),
        "torchvision's reference": reference,
    }


def fcn(data: Path, batch: int) -> Epochs:
    """FCN with a dilated ResNet-50 and an auxiliary head, all of it trained."""
    from torchvision.models.segmentation import fcn_resnet50

    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    source = open_data({"name": "mask_folders", "root": str(data), "train": "images", "train_masks": "maps"})
    steps = [
        {"name": "multi_scale", "shortest_edges": list(range(BASE // 2, 2 * BASE, 13)), "longest_edge": 8 * BASE},
        {"name": "random_crop", "size": [CROP, CROP]},
        {"name": "horizontal_flip"},
    ]
    loader = partial(segmentation_loader, data, batch, WORKERS, BASE, CROP)
    return {
        "ours": partial(_epoch, bk.build_model("fcn_resnet50"), source, steps, _SGD, batch),
        "torchvision's reference": partial(train_segmenter, theirs, loader),
    }


def rt_detr(data: Path, batch: int) -> Epochs:
    """RT-DETR v2 with a ResNet-18, all of it trained: our model in both loops, and transformers' in its own."""
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    ours = bk.build_model("rtdetr_v2_resnet18", [f"processing.size=[{EDGE},{EDGE}]"])
    backbone = RTDetrResNetConfig(
        hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", out_indices=[2, 3, 4]
    )
    sizes = {"decoder_layers": 3, "hidden_expansion": 0.5, "backbone_config": backbone}
    theirs = RTDetrV2ForObjectDetection(
        RTDetrV2Config(num_labels=CATEGORIES, freeze_backbone_batch_norms=False, **sizes)
    )
    source = _boxes(data)
    flip = [{"name": "horizontal_flip"}]
    steps = open_augmentation(flip)
    images = AugmentedSplit(source.split("train"), steps, seed=0, labels=source.labels)
    processor = training_processor(ours.processor, steps)

    def collate(samples: list[Any]) -> dict[str, Any]:
        return processor([sample[0] for sample in samples], [sample[1] for sample in samples])

    with_ours = partial(train_with_trainer, ours, images, collate, batch, WORKERS)
    with_theirs = partial(train_with_trainer, theirs, *boxes_for_transformers(data, EDGE), batch, WORKERS)
    return {
        "ours": partial(_epoch, ours, source, flip, _ADAMW, batch),
        "transformers' Trainer, same model and batches": with_ours,
        "transformers' Trainer, model and processor": with_theirs,
    }


def _boxes(data: Path) -> Any:
    return open_data({"name": "coco", "root": str(data), "train": "train.json", "masks": False})


def _epoch(
    model: Any,
    source: Any,
    steps: list[dict[str, Any]],
    optimisation: dict[str, Any],
    batch: int,
    *,
    group_shapes: bool = False,
) -> None:
    """As `backbonekit train`, without a validation and a checkpoint."""
    from lightning.pytorch import Trainer

    data = DataModule(
        source,
        model.processor,
        batch_size=batch,
        num_workers=WORKERS,
        steps=open_augmentation(steps),
        group_shapes=group_shapes,
        val=None,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            **engine_arguments(TrainerSettings(accelerator="cpu")),
            max_epochs=1,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            logger=[CsvLog(Path(folder) / "metrics.csv")],
            callbacks=[Reseeding(0)],
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Module(model, {**optimisation, "batch_size": batch}), datamodule=data)
