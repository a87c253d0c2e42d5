"""A run: an experiment becomes a folder with the trained model, its scores, its log, and what a resumed run needs."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.measuring import evaluation_of
from backbonekit.contract.datasets import DataSource, Split
from backbonekit.contract.processes import is_first_process
from backbonekit.data import open_augmentation, paper_steps
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.evaluation import Evaluation
from backbonekit.lightning.best_model import BestModel
from backbonekit.lightning.checkpoint_file import CheckpointFile
from backbonekit.lightning.checkpointing import CHECKPOINT, Checkpointing
from backbonekit.lightning.csv_log import CsvLog
from backbonekit.lightning.data_module import DataModule
from backbonekit.lightning.engine_settings import engine_arguments, further_loggers
from backbonekit.lightning.module import Module
from backbonekit.lightning.progress import Progress
from backbonekit.lightning.reseeding import Reseeding
from backbonekit.lightning.run_plots import write_plots
from backbonekit.recipe.dump import dump_experiment
from backbonekit.recipe.experiment import Experiment
from backbonekit.recipe.recipe import Recipe
from backbonekit.training.gradient_checkpointing import gradient_checkpointing

EXPERIMENT = "experiment.yaml"
METRICS = "metrics.csv"
_ERRORS = (RecipeError, ContractError, WeightsError, StorageError)


def run_experiment(
    experiment: Experiment,
    folder: Path,
    *,
    source: DataSource,
    build: Callable[[Recipe], ComposedModel],
    steps: Sequence[Any] | None = (),
    resume: bool = False,
) -> BestModel:
    """Trains, and returns what is known of the best model, which `folder` holds then.

    `experiment`: with the classes of `source`. `build`: makes its model. `steps`: of the augmentation; None:
    those that the paper of the model's heads has. `resume`: goes on from the checkpoint in `folder`.

    Raises Interrupted after Ctrl-C, once the checkpoint is written; ContractError where the loss is no number.
    """
    settings = experiment.trainer
    validation = _validation(source)
    model = build(experiment.model)
    if is_first_process():
        _write(folder, dump_experiment(replace(experiment, model=model.recipe, notes=())))
    is_shared = settings.strategy == "fsdp2"
    best = BestModel(folder, data=experiment.data or {}, template=deepcopy(model) if is_shared else None)
    if settings.gradient_checkpointing:
        gradient_checkpointing(model)
    module = Module(
        model,
        experiment.optimisation,
        evaluation=None if validation is None else _evaluation(model, validation),
        sharded_dtype=torch.bfloat16 if is_shared and settings.precision == "bf16" else None,
    )
    if settings.compile:
        module.model.compile()
    data = DataModule(
        source,
        model.processor,
        batch_size=experiment.optimisation.batch_size,
        num_workers=settings.num_workers,
        group_shapes=settings.group_shapes,
        seed=settings.seed,
        steps=_paper(model) if steps is None else steps,
        val=None if validation is None else "val",
    )
    log = CsvLog(folder / METRICS, resumed_at=_steps_done(folder / CHECKPOINT) if resume else None)
    with _quiet(), _plain_errors():
        trainer = Trainer(
            **engine_arguments(settings),
            max_epochs=settings.max_epochs,
            max_steps=settings.max_steps or -1,
            accumulate_grad_batches=settings.accumulate,
            check_val_every_n_epoch=settings.evaluate_every,
            num_sanity_val_steps=0,
            log_every_n_steps=settings.log_every,
            logger=[log, *further_loggers(settings, folder)],
            callbacks=[
                Reseeding(settings.seed),
                best,
                Progress(best),
                Checkpointing(folder, settings.checkpoint_every),
            ],
            plugins=[CheckpointFile()],
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        try:
            trainer.fit(module, datamodule=data, ckpt_path=folder / CHECKPOINT if resume else None, weights_only=True)
        except _ERRORS:
            if trainer.global_step == 0 and not resume and is_first_process():
                _forget(folder)
            raise
    if is_first_process():
        write_plots(folder, folder / METRICS, best.scores)
    return best


def _paper(model: ComposedModel) -> list[Any]:
    heads = [task.head.name for task in model.recipe.tasks.values() if task.head is not None]
    return open_augmentation(paper_steps(heads, model.processor.processing))


def _validation(source: DataSource) -> Split | None:
    try:
        return source.split("val")
    except RecipeError:
        return None


def _evaluation(model: ComposedModel, validation: Split) -> Evaluation | None:
    """What measures the model by the keys that the targets have; None for one without a head."""
    if all(task.head is None for task in model.recipe.tasks.values()):
        return None
    _, target = validation[0]
    return evaluation_of(model, keys=target)


def _write(folder: Path, text: str) -> None:
    path = folder / EXPERIMENT
    temporary = path.with_name(f".{path.name}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror}.") from error


def _forget(folder: Path) -> None:
    """Takes the files of a run that was refused before its first step away: what it would have been is in none of them,
    and they would stand in the way of the next try."""
    for name in (EXPERIMENT, METRICS, CHECKPOINT):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # other files are in it
        folder.rmdir()


def _steps_done(checkpoint: Path) -> int:
    return int(CheckpointFile().load_checkpoint(checkpoint)["global_step"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's own remarks are about Lightning's arguments, which nobody has typed here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for module in ("lightning", "torch"):
                warnings.filterwarnings("ignore", module=rf"{module}\..*")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Our own errors without the traceback that a worker process adds, and Lightning's on its arguments as ours."""
    try:
        yield
    except MisconfigurationException as error:
        raise RecipeError(f"trainer: {' '.join(str(error).split())}") from error
    except _ERRORS as error:
        text = str(error)
        if "Original Traceback" not in text:
            raise
        named = f"{type(error).__module__}.{type(error).__qualname__}: "
        raise type(error)(text.rpartition(named)[2].strip() or text) from None
    except SystemExit:  # what Lightning makes of a second Ctrl-C
        raise KeyboardInterrupt from None
