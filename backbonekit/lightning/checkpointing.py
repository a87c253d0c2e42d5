"""When a training writes the file that it is resumed from, and how Ctrl-C ends it."""

import signal
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.strategies import ModelParallelStrategy

CHECKPOINT = "last.ckpt"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Ctrl-C, or a scheduler's SIGTERM, after the checkpoint was written."""


class Checkpointing(Callback):
    """Writes `last.ckpt` before the first step (of a model that is not shared out), after each epoch, every `every`
    steps, and when the training is interrupted: by Ctrl-C or SIGTERM, once the step that is running has ended. A second
    one ends it at once."""

    def __init__(self, folder: Path, every: int | None = None) -> None:
        self.path = folder / CHECKPOINT
        self.every = every
        self._is_interrupted = False
        self._step = 0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._step = trainer.global_step
        # To read the state of an optimiser that is shared out and has none yet, torch makes a step with it: Adam would
        # count one too many.
        if trainer.global_step == 0 and not isinstance(trainer.strategy, ModelParallelStrategy):
            trainer.save_checkpoint(self.path)
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self._step:
            return  # gradients are being accumulated, which no checkpoint keeps
        self._step = step = trainer.global_step
        if batch_idx + 1 >= trainer.num_training_batches:
            return  # the end of the epoch writes one
        is_interrupted = self._agreed(trainer)
        is_due = self.every is not None and step % self.every == 0
        if is_interrupted or is_due or step == trainer.max_steps:
            trainer.save_checkpoint(self.path)
        if is_interrupted:
            raise Interrupted

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if progress.current.processed < trainer.num_training_batches:
            return  # ended by max_steps, which has written one
        trainer.save_checkpoint(self.path)
        if self._agreed(trainer):
            raise Interrupted

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _agreed(self, trainer: Any) -> bool:
        """Whether any process was interrupted."""
        if trainer.world_size == 1:
            return self._is_interrupted
        return trainer.strategy.reduce_boolean_decision(self._is_interrupted, all=False)

    def _interrupt(self, number: int, frame: Any) -> None:
        if self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True
