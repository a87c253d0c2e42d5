"""The section `trainer` of an experiment as arguments of Lightning's Trainer."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from backbonekit.errors import RecipeError
from backbonekit.recipe.experiment_settings import TrainerSettings

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def engine_arguments(settings: TrainerSettings) -> dict[str, Any]:
    """On which devices of which machines, by which strategy, in which precision. Raises RecipeError for a device that
    this machine does not have."""
    has_cuda = torch.cuda.is_available()
    if settings.accelerator == "cuda" and not has_cuda:
        raise RecipeError("trainer.accelerator=cuda: this machine has no CUDA device; trainer.accelerator=cpu works.")
    if settings.accelerator == "mps" and not torch.backends.mps.is_available():
        raise RecipeError("trainer.accelerator=mps: this machine has no Metal device; trainer.accelerator=cpu works.")
    on_cuda = has_cuda and settings.accelerator in ("auto", "cuda")
    devices: Any = list(settings.devices) if isinstance(settings.devices, tuple) else settings.devices
    if isinstance(devices, list) and not on_cuda:
        raise RecipeError(
            f"trainer.devices={devices} numbers GPUs, and this training runs on the CPU; give a number of processes, "
            f"such as trainer.devices={len(devices)}."
        )
    count = len(devices) if isinstance(devices, list) else devices
    if count == "auto":
        count = torch.cuda.device_count() if on_cuda else 1
    strategy: Any = settings.strategy
    precision = _PRECISIONS[settings.precision]
    if strategy == "fsdp2":
        from lightning.pytorch.strategies import ModelParallelStrategy

        strategy = ModelParallelStrategy(
            data_parallel_size=count * settings.num_nodes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
        precision = "32-true"  # the shared out weights; the computations are in the type that sharding is given
    return {
        "accelerator": settings.accelerator,
        "devices": devices,
        "num_nodes": settings.num_nodes,
        "strategy": strategy,
        "precision": precision,
    }


def further_loggers(settings: TrainerSettings, folder: Path) -> list[Logger]:
    """TensorBoard's or Weights & Biases', by name. Raises RecipeError where its package is not installed."""
    if settings.logger == "none":
        return []
    try:
        if settings.logger == "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            return [TensorBoardLogger(folder, name="", version="tensorboard")]
        from lightning.pytorch.loggers import WandbLogger

        return [WandbLogger(save_dir=folder, name=folder.name)]
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"trainer.logger={settings.logger}: its package is not installed. The fix: pip install {settings.logger}."
        ) from error
